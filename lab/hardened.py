# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of hardened machines, for tests that start on a hardened host.

``CACHE/KEY/hardened-HASH/ready.qcow2`` holds a machine that was started from the suite's snapshot
and hardened with ``playbooks/harden.yml`` and the collection's defaults. The hash covers everything that
determines the result: the image's snapshot, the collection, its configuration and the locked packages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import image, inventory, locks, paths, qemu, recipe
from lab.errors import LabError
from lab.image import MachineImage
from lab.machine import Machine, copy_disk, link_disk
from lab.progress import run_logged, say

KEEP_OTHERS = 1  # snapshots of the same image that were made from other files, for example from another checkout
HOSTNAME = "lab"  # as in the image, until a machine is started from the snapshot
COLLECTION = "collections/ansible_collections/bulkhead/docker"
# Files and folders of the repository that determine what hardening does to a machine.
INPUTS = (
    "ansible.cfg",
    "requirements.txt",
    *(f"{COLLECTION}/{name}" for name in ("galaxy.yml", "meta", "playbooks", "plugins", "roles")),
    "lab/guest/hardened.sh",
    "lab/hardened.py",
)


def list_inputs(repository: Path) -> Iterator[Path]:
    """Yield every file below ``INPUTS`` in a stable order, without compiled Python files."""
    for name in INPUTS:
        path = repository / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in files if file.is_file() and file.suffix != ".pyc")


def hash_inputs(repository: Path) -> str:
    """Return a hash of the names, modes and contents of all inputs."""
    total = hashlib.sha256()
    for file in list_inputs(repository):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        executable = os.access(file, os.X_OK)
        total.update(f"{file.relative_to(repository)} {executable} {content}\n".encode())
    return total.hexdigest()


def find_snapshot(built: MachineImage, shape: qemu.Shape) -> Path:
    """Return the path of the hardened snapshot that belongs to the files of this checkout."""
    made_of = [built.snapshot(shape).parent.name, sys.version_info[:2], hash_inputs(paths.REPOSITORY)]
    return built.directory / f"hardened-{recipe.compute_digest(made_of)}" / "ready.qcow2"


def use_lock(snapshot: Path) -> Path:
    """Return the lock that is held (shared) while a snapshot is copied."""
    return image.use_lock(f"{snapshot.parent.parent.name}.{snapshot.parent.name}")


@contextmanager
def hold_snapshot(built: MachineImage, shape: qemu.Shape) -> Iterator[Path]:
    """Yield the hardened snapshot, built if it does not exist. No other process removes it meanwhile.

    The caller holds the image's ``use_lock`` shared.
    """
    snapshot = find_snapshot(built, shape)
    with locks.hold_lock(use_lock(snapshot), f"the removal of {snapshot.parent.name}", shared=True):
        if not snapshot.exists():
            key = built.base.key()
            with locks.hold_lock(image.build_lock(key), f"another build of {key}"):
                if not snapshot.exists():
                    image.build_atomically(snapshot.parent, lambda folder: _build(built, shape, folder))
            prune_snapshots(snapshot)
        os.utime(snapshot.parent)  # the pruning reads this time
        yield snapshot


def prune_snapshots(snapshot: Path) -> None:
    """Remove the hardened snapshots of the same image that were not used last, unless one is being copied."""
    others = sorted((folder for folder in snapshot.parent.parent.glob("hardened-*") if folder != snapshot.parent), key=image.get_age)
    for folder in others[KEEP_OTHERS:]:
        with image.hold_if_free(use_lock(folder / snapshot.name)) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)


def _build(built: MachineImage, shape: qemu.Shape, folder: Path) -> None:
    """Start a machine from the image's snapshot, harden it and save it in ``folder``."""
    label = built.base.label
    overlay = folder / "ready.qcow2"
    shutil.copy(built.ssh_key, folder / "ssh_key")
    copy_disk(built.snapshot(shape), overlay, built.disk)
    machine = Machine(HOSTNAME, folder)
    machine.start(qemu.build_command(shape, name=folder.name, disk=overlay.name, boot=built.boot_options(shape), load_snapshot=True))
    machine.set_clock_and_hostname(built.base.patience)
    _harden(machine, label)
    _settle(machine)
    machine.save_snapshot()
    link_disk(overlay, "../disk.qcow2")
    say(f"saved the snapshot of the hardened {label} machine")
    for path in folder.iterdir():
        if path != overlay:
            path.unlink()


def _harden(machine: Machine, label: str) -> None:
    """Run playbooks/harden.yml against the machine, with the output in .cache/logs."""
    program = Path(sys.executable).parent / "ansible-playbook"
    if not program.exists():
        raise LabError(f"{program} does not exist; run `make setup`, then use .venv/bin/python -m lab")
    remote = machine.get_remote()
    variables = inventory.host_variables(remote.port, remote.key, remote.known_hosts)
    source = machine.directory / "inventory.yml"
    source.write_text(inventory.inventory_text(machine.name, variables, ()), encoding="utf-8")
    log = paths.REPOSITORY / f".cache/logs/harden-{label}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="bulkhead-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment |= {
            "ANSIBLE_CONFIG": str(paths.REPOSITORY / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(paths.REPOSITORY / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            # The snapshot must not contain an open connection.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{folder}/cp",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=5s",
        }
        run_logged(
            [
                *(str(program), "-i", str(source), str(paths.REPOSITORY / COLLECTION / "playbooks/harden.yml")),
                *("-e", "bulkhead_verify=false", "-e", f"bulkhead_report_dir={folder}/reports"),
            ],
            log,
            f"hardening a {label} machine (log: {log})",
            env=environment,
        )


def _settle(machine: Machine) -> None:
    """Wait until the machine is idle again and check that it is ready for a snapshot."""
    done = subprocess.run(
        machine.get_remote().build_command(["sh", "-s"]),
        input=recipe.read_script("hardened"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise machine.build_error(f"the hardened machine is not ready for a snapshot: {done.stderr.strip()}")
