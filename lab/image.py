# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images and the snapshots of machines booted from them, built once and kept.

``CACHE/KEY/`` holds the disk, the ssh key and what it takes to boot;
``CACHE/KEY/SHAPE/ready.qcow2`` the booted and settled machine. Both appear by a rename of
a finished folder, so what is there is complete.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import locks, paths, qemu
from lab.base import ImageBase
from lab.machine import Machine, link_disk
from lab.progress import Heartbeat, say, tail

KEEP_OTHERS = 2  # images of the same label with another key
KEEP_SECONDS = 14 * 86400


@dataclass(frozen=True)
class MachineImage:
    """One image of the cache, whether or not it is built."""

    base: ImageBase

    @property
    def directory(self) -> Path:
        """The folder of the disk and of its snapshots."""
        return paths.cache_dir() / self.base.key()

    @property
    def disk(self) -> Path:
        """The disk, never written to again."""
        return self.directory / "disk.qcow2"

    @property
    def ssh_key(self) -> Path:
        """The private key of the lab's public key in root's authorized_keys in the image."""
        return self.directory / "ssh_key"

    def snapshot(self, shape: qemu.Shape) -> Path:
        """Return the overlay that holds the booted machine of that shape."""
        return self.directory / f"{shape.key()}-{self.base.boot_key()}" / "ready.qcow2"

    def boot_options(self, shape: qemu.Shape) -> list[str]:
        """Return qemu's options that boot the image."""
        return self.base.boot_options(self.directory, emulated=shape.accelerator == "tcg")


def use_lock(key: str) -> Path:
    """Return the lock that every machine holds (shared) on its image while it runs."""
    return paths.cache_dir() / "locks" / f"{key}.use"


def build_lock(key: str) -> Path:
    """Return the lock that is held while an image is built."""
    return paths.cache_dir() / "locks" / f"{key}.build"


def ensure_image(base: ImageBase, shape: qemu.Shape) -> MachineImage:
    """Return the image with a snapshot for that shape, built if it is not there.

    The caller holds ``use_lock`` shared, so that nobody prunes what is returned.
    """
    image = MachineImage(base)
    if not image.snapshot(shape).exists():
        with locks.hold_lock(build_lock(base.key()), f"another build of {base.key()}"):
            _clear_leftovers(base.key())
            if not image.directory.exists():
                build_atomically(image.directory, base.build)
            if not image.snapshot(shape).exists():
                build_atomically(image.snapshot(shape).parent, lambda folder: _boot_and_settle(image, shape, folder))
        prune_images(base)
    for used in (image.directory, image.snapshot(shape).parent):
        os.utime(used)  # what pruning goes by
    return image


def build_atomically(target: Path, build: Callable[[Path], None]) -> None:
    """Build a folder next to the images of the cache and rename it when it is complete."""
    prefix = f".building-{target.relative_to(paths.cache_dir()).parts[0]}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=paths.cache_dir()))
    try:
        build(folder)
        folder.chmod(0o755)
        folder.rename(target)
    except BaseException:
        Machine("building", folder).stop()
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _clear_leftovers(key: str) -> None:
    """Remove what a killed build left; the caller holds its lock, so no other process works there."""
    for folder in paths.cache_dir().glob(f".building-{key}-*"):
        Machine("building", folder).stop()
        shutil.rmtree(folder, ignore_errors=True)


def _boot_and_settle(image: MachineImage, shape: qemu.Shape, folder: Path) -> None:
    """Boot the image once, wait until it has settled, and keep the machine as it then is."""
    base = image.base
    say(f"booting {base.label} once ({shape.accelerator}, {shape.memory_mib} MiB, {shape.cpus} processors)")
    overlay = folder / "ready.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.disk), str(overlay)], check=True)
    shutil.copy(image.ssh_key, folder / "ssh_key")
    machine = Machine("building", folder)
    machine.start(qemu.build_command(shape, name=base.key(), disk=overlay.name, boot=image.boot_options(shape)))
    started = time.monotonic()
    machine.wait_for_ssh("booting", base.patience)
    say(f"ssh answers {time.monotonic() - started:.1f} s after power-on; waiting for the machine to settle")
    _settle(machine, base)
    say(f"settled {time.monotonic() - started:.1f} s after power-on; saving the snapshot")
    machine.save_snapshot()
    link_disk(overlay, "../disk.qcow2")
    for name in ("state.json", "ssh_key", "known_hosts", "qmp.sock"):
        (folder / name).unlink(missing_ok=True)


def _settle(machine: Machine, base: ImageBase) -> None:
    remote = machine.get_remote()
    command = remote.build_command(["sh", "-s"])
    heartbeat = Heartbeat("settling", lambda: tail(machine.serial, 1)[-100:])
    log = machine.directory / "settle.log"
    with open(log, "wb") as out:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)
        assert child.stdin
        try:
            child.stdin.write(base.settle_script.encode())
            child.stdin.close()
            while child.poll() is None:
                if heartbeat.elapsed() > base.patience:
                    raise machine.build_error("the machine does not settle")
                heartbeat.beat()
                time.sleep(0.1)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    if child.returncode != 0:
        raise machine.build_error(f"the image is not what it should be: {tail(log)}")


def prune_images(base: ImageBase) -> None:
    """Remove what is no longer used, unless a machine runs on it or another process builds it.

    That is: images of the same label that an older recipe made, except for a few, because several
    checkouts may share the cache; snapshots of another shape; what killed builders left.
    """
    cache = paths.cache_dir()
    for folder in cache.glob(f"{base.key()}/*/"):
        if get_age(folder) > KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    others = sorted((folder for folder in cache.glob(f"{base.label}-*") if folder.name != base.key()), key=get_age)
    for position, folder in enumerate(others):
        if position >= KEEP_OTHERS or get_age(folder) > KEEP_SECONDS:
            with hold_if_free(use_lock(folder.name)) as free:
                if free:
                    say(f"removing the old image {folder.name}")
                    shutil.rmtree(folder, ignore_errors=True)
    for key in {folder.name.removeprefix(".building-").rpartition("-")[0] for folder in cache.glob(".building-*-*")}:
        with hold_if_free(build_lock(key)) as free:
            if free:
                _clear_leftovers(key)


def get_age(folder: Path) -> float:
    """Return the seconds since the folder was last used."""
    return time.time() - folder.stat().st_mtime


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock unless another process holds it. Yields whether it is held."""
    held = locks.try_lock(path)
    try:
        yield held is not None
    finally:
        if held is not None:
            os.close(held)
