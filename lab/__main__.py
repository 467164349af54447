# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``python3 -m lab --help``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import architecture, cloud_image, doctor, hardened, image, lifecycle, locks, paths, qemu, recipe
from lab.debian import DebianBase
from lab.errors import LabError
from lab.machine import Machine
from lab.progress import say


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m lab", description="Throwaway virtual machines with a Docker engine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    kind = argparse.ArgumentParser(add_help=False)
    kind.add_argument("--arch", choices=architecture.ALL, help="architecture of the machines; default: that of this control node")
    shape = argparse.ArgumentParser(add_help=False, parents=[kind])
    shape.add_argument("--suite", default=recipe.DEFAULT_SUITE, choices=recipe.SUITES, help="default: %(default)s")
    shape.add_argument("--image", metavar="PATH_OR_URL", help="start from a cloud image instead of the suite's packages")
    shape.add_argument("--checksum", metavar="sha256:…", help="checksum of the cloud image")
    shape.add_argument("--hardened", action="store_true", help="start from a machine that playbooks/harden.yml has hardened")
    shape.add_argument("--memory", type=int, default=2048, metavar="MIB", help="default: %(default)s")
    shape.add_argument("--cpus", type=int, help="default: 2 with KVM, 1 without")

    up = commands.add_parser("up", parents=[shape], help="start machines and print the path of each inventory")
    up.add_argument("names", nargs="+", metavar="NAME")
    up.add_argument("--group", action="append", default=[], help="another inventory group, in addition to docker_hosts")
    up.add_argument("--inventory-dir", type=Path, metavar="DIR", help="also write DIR/host_vars/NAME.yml")

    down = commands.add_parser("down", help="stop machines and remove their files")
    down.add_argument("names", nargs="*", metavar="NAME")
    down.add_argument("--all", action="store_true", help="every machine of this checkout")

    commands.add_parser("image", parents=[shape], help="build the image and its snapshot, unless they exist")
    commands.add_parser("list", help="the machines of this checkout")
    enter = commands.add_parser("ssh", help="a shell in a machine, or one command")
    enter.add_argument("name", metavar="NAME")
    enter.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    commands.add_parser("doctor", parents=[kind], help="say what the lab lacks on this control node")
    return parser


def _read_architecture(options: argparse.Namespace) -> architecture.Architecture:
    return architecture.ALL[options.arch] if options.arch else architecture.detect_host()


def _read_request(options: argparse.Namespace) -> lifecycle.MachineRequest:
    if options.checksum and not options.image:
        raise LabError("--checksum belongs to --image")
    guest = _read_architecture(options)
    if options.image and guest != architecture.AMD64:
        raise LabError(f"--image boots with BIOS firmware, which {guest.name} does not have; use --suite, or --arch amd64")
    suite = None if options.image else DebianBase(recipe.create_recipe(options.suite, guest))
    return lifecycle.MachineRequest(
        base=suite or cloud_image.parse_options(options.image, options.checksum),
        shape=qemu.detect_shape(options.memory, options.cpus, guest),
        groups=tuple(getattr(options, "group", ())),
        inventory_dir=getattr(options, "inventory_dir", None),
        hardened=options.hardened,
    )


def _start_machines(options: argparse.Namespace) -> int:
    doctor.check_packages(_read_architecture(options))
    for name in options.names:
        paths.check_name(name)
    request = _read_request(options)
    for name in options.names:
        print(_shorten_path(lifecycle.start_machine(name, request)), flush=True)
    return 0


def _shorten_path(path: Path) -> Path:
    """Return the path as a person in this folder would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _remove_machines(options: argparse.Namespace) -> int:
    if options.all == bool(options.names):
        raise LabError("down: give names, or --all")
    for name in paths.machine_names() if options.all else options.names:
        say(f"removed {name}" if lifecycle.remove_machine(name) else f"machine {name} does not exist")
    return 0


def _build_image(options: argparse.Namespace) -> int:
    doctor.check_packages(_read_architecture(options))
    request = _read_request(options)
    key = request.base.key()
    with locks.hold_lock(image.use_lock(key), f"the removal of {key}", shared=True):
        built = image.ensure_image(request.base, request.shape)
        snapshot = built.snapshot(request.shape)
        if request.hardened:
            with hardened.hold_snapshot(built, request.shape) as snapshot:
                pass
        print(snapshot)
    return 0


def _list_machines() -> int:
    for name in paths.machine_names():
        machine = Machine(name, paths.machine_dir(name))
        state = machine.state
        status = ("up" if state.get("ready") else "starting") if machine.is_alive() else "dead"
        print(f"{name:<20} {status:<9} {state.get('image', '?'):<24} 127.0.0.1:{state.get('port', '?')}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    # A signal ends the command by an exception, so that it cleans up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        match options.command:
            case "up":
                return _start_machines(options)
            case "down":
                return _remove_machines(options)
            case "image":
                return _build_image(options)
            case "list":
                return _list_machines()
            case "ssh":
                lifecycle.open_shell(options.name, options.words)
                return 0
            case _:
                return doctor.report_packages(_read_architecture(options))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
