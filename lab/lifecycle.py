# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines by name: bring one up from its image's snapshot, take it down again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import hardened, image, inventory, locks, paths, qemu
from lab.base import ImageBase
from lab.errors import LabError
from lab.machine import Machine, copy_disk
from lab.progress import say

RESUME_PATIENCE = 900.0  # seconds; three when the host is idle, but three minutes have been seen when it was not


@dataclass(frozen=True)
class MachineRequest:
    """The properties of a requested machine, besides its name."""

    base: ImageBase
    shape: qemu.Shape
    groups: tuple[str, ...] = ()
    inventory_dir: Path | None = None
    hardened: bool = False


def start_machine(name: str, request: MachineRequest) -> Path:
    """Start a machine and return the path of its inventory. A running machine is left as it is."""
    directory = paths.machine_dir(name)
    groups = inventory.check_groups(request.groups)
    with locks.hold_lock(paths.lock_path(name), f"another command on machine {name}"):
        machine = Machine(name, directory)
        if machine.is_alive() and machine.state.get("ready"):
            if machine.state.get("image") != request.base.key():
                raise LabError(
                    f"machine {name} is up from another image ({machine.state.get('image')}); remove it first: python3 -m lab down {name}"
                )
            if machine.state.get("hardened", False) != request.hardened:
                state = "without" if request.hardened else "with"
                raise LabError(f"machine {name} is up {state} hardening; remove it first: python3 -m lab down {name}")
            say(f"{name} is up already")
        else:
            _remove(machine)
            try:
                _create(machine, request)
            except BaseException:
                _remove(machine)
                raise
        return _write_inventory(machine, groups, request.inventory_dir)


def _create(machine: Machine, request: MachineRequest) -> None:
    key = request.base.key()
    with locks.hold_lock(image.use_lock(key), f"the removal of {key}", shared=True) as held:
        built = image.ensure_image(request.base, request.shape)
        machine.directory.mkdir()
        shutil.copy(built.ssh_key, machine.directory / "ssh_key")
        disk = machine.directory / "disk.qcow2"
        if request.hardened:
            with hardened.hold_snapshot(built, request.shape) as snapshot:
                copy_disk(snapshot, disk, built.disk)
        else:
            snapshot = built.snapshot(request.shape)
            copy_disk(snapshot, disk, built.disk)
        started = time.monotonic()
        machine.update_state(name=machine.name, suite=request.base.label, image=key, hardened=request.hardened, ready=False)
        say(f"starting {machine.name} from the snapshot {key}/{snapshot.parent.name}")
        command = qemu.build_command(
            request.shape,
            name=machine.name,
            disk="disk.qcow2",
            boot=built.boot_options(request.shape),
            load_snapshot=True,
        )
        machine.start(command, keep_open=[held])
        machine.set_clock_and_hostname(RESUME_PATIENCE)
        machine.update_state(ready=True)
        say(f"{machine.name} is up after {time.monotonic() - started:.1f} s, ssh on 127.0.0.1:{machine.state['port']}")


def _write_inventory(machine: Machine, groups: Sequence[str], inventory_dir: Path | None) -> Path:
    remote = machine.get_remote()
    variables = inventory.host_variables(remote.port, remote.key, remote.known_hosts)
    path = machine.directory / "inventory.yml"
    path.write_text(inventory.inventory_text(machine.name, variables, groups), encoding="utf-8")
    if inventory_dir is not None:
        target = inventory_dir.resolve() / "host_vars" / f"{machine.name}.yml"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(inventory.host_vars_text(machine.name, variables), encoding="utf-8")
        machine.update_state(host_vars=sorted({*machine.state.get("host_vars", []), str(target)}))
    return path


def remove_machine(name: str) -> bool:
    """End a machine and remove its files; return whether there were any."""
    with locks.hold_lock(paths.lock_path(name), f"another command on machine {name}"):
        return _remove(Machine(name, paths.machine_dir(name)))


def _remove(machine: Machine) -> bool:
    if not machine.directory.exists():
        return False
    machine.stop()
    for path in machine.state.get("host_vars", []):
        Path(path).unlink(missing_ok=True)
    shutil.rmtree(machine.directory)
    return True


def find_machine(name: str) -> Machine:
    """Return a machine that is up. Raises LabError if it is not."""
    machine = Machine(name, paths.machine_dir(name))
    if not (machine.is_alive() and machine.state.get("ready")):
        raise LabError(f"machine {name} is not up; python3 -m lab up {name}")
    return machine


def open_shell(name: str, words: Sequence[str]) -> None:
    """Replace this process by an ssh to the machine."""
    command = find_machine(name).get_remote().build_command(words, terminal=not words)
    os.execvp(command[0], command)
