# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images and the snapshots of machines booted from them, built once and kept.

``CACHE/KEY/`` holds the disk, the kernel, its initial RAM disk and the ssh key;
``CACHE/KEY/SHAPE/ready.qcow2`` the booted and settled machine. Both appear by a rename of
a finished folder, so what is there is complete.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import debian, locks, paths, qemu, ssh
from lab.errors import LabError
from lab.machine import Machine, link_disk
from lab.progress import Heartbeat, say, tail
from lab.recipe import Recipe

BOOT_PATIENCE = 600.0  # seconds; an emulated machine on a busy host needs a few minutes
KEEP_OTHERS = 2  # images of the same suite with another key
KEEP_SECONDS = 14 * 86400


@dataclass(frozen=True)
class Image:
    """One image of the cache, whether or not it is built."""

    recipe: Recipe

    @property
    def directory(self) -> Path:
        """The folder of the disk and of its snapshots."""
        return paths.cache_dir() / self.recipe.key()

    @property
    def disk(self) -> Path:
        """The disk, never written to again."""
        return self.directory / "disk.qcow2"

    @property
    def ssh_key(self) -> Path:
        """The private key that root's authorized_keys in the image answers to."""
        return self.directory / "ssh_key"

    def snapshot(self, shape: qemu.Shape) -> Path:
        """Return the overlay that holds the booted machine of that shape."""
        return self.directory / f"{shape.key()}-{self.recipe.boot_key()}" / "ready.qcow2"

    def boot_arguments(self, shape: qemu.Shape) -> list[str]:
        """Return qemu's options that start the image's own kernel."""
        arguments = self.recipe.kernel_arguments
        if shape.accelerator == "tcg":
            arguments += " mitigations=off"  # an emulated processor pays for them and is not made safer
        kernel, initrd = self.directory / "vmlinuz", self.directory / "initrd.img"
        return ["-kernel", str(kernel), "-initrd", str(initrd), "-append", arguments]


def use_lock(key: str) -> Path:
    """Return the lock that every machine holds (shared) on its image while it runs."""
    return paths.cache_dir() / "locks" / f"{key}.use"


def ensure(recipe: Recipe, shape: qemu.Shape) -> Image:
    """Return the image with a snapshot for that shape, built if it is not there.

    The caller holds ``use_lock`` shared, so that nobody prunes what is returned.
    """
    image = Image(recipe)
    if not image.snapshot(shape).exists():
        with locks.lock(paths.cache_dir() / "locks" / f"{recipe.key()}.build", f"another build of {recipe.key()}"):
            _clear_leftovers(recipe.key())
            if not image.directory.exists():
                _atomically(image.directory, lambda folder: debian.build_disk(recipe, folder))
            if not image.snapshot(shape).exists():
                _atomically(image.snapshot(shape).parent, lambda folder: _boot_and_settle(image, shape, folder))
        prune(recipe)
    os.utime(image.directory)  # last used: what pruning goes by
    return image


def _atomically(target: Path, build: Callable[[Path], None]) -> None:
    """Build a folder beside the cache's images and give it its name when it is complete."""
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
    """Remove what a killed build left behind; we hold its lock, so nobody works there."""
    for folder in paths.cache_dir().glob(f".building-{key}-*"):
        Machine("building", folder).stop()
        shutil.rmtree(folder, ignore_errors=True)


def _boot_and_settle(image: Image, shape: qemu.Shape, folder: Path) -> None:
    """Boot the image once, wait until it has settled, and keep the machine as it then is."""
    recipe = image.recipe
    say(f"booting {recipe.suite} once ({shape.accelerator}, {shape.memory_mib} MiB, {shape.cpus} processors)")
    overlay = folder / "ready.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.disk), str(overlay)], check=True
    )
    shutil.copy(image.ssh_key, folder / "ssh_key")
    machine = Machine("building", folder)
    machine.start(qemu.command(shape, name=recipe.key(), disk=overlay.name, boot=image.boot_arguments(shape)))
    started = time.monotonic()
    machine.wait_for_ssh("booting", BOOT_PATIENCE)
    say(f"ssh answers {time.monotonic() - started:.1f} s after power-on; waiting for the machine to settle")
    _settle(machine, recipe)
    say(f"settled {time.monotonic() - started:.1f} s after power-on; saving the snapshot")
    machine.save_snapshot()
    link_disk(overlay, "../disk.qcow2")
    for name in ("state.json", "ssh_key", "known_hosts", "qmp.sock"):
        (folder / name).unlink(missing_ok=True)


def _settle(machine: Machine, recipe: Recipe) -> None:
    remote = machine.remote()
    command = remote.command(["sh", "-s"])
    heartbeat = Heartbeat("settling", lambda: tail(machine.serial, 1)[-100:])
    log = machine.directory / "settle.log"
    with open(log, "wb") as out:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)
        assert child.stdin
        try:
            child.stdin.write(recipe.settle_script.encode())
            child.stdin.close()
            while child.poll() is None:
                if heartbeat.elapsed() > BOOT_PATIENCE:
                    raise machine.failure("the machine does not settle")
                heartbeat.beat()
                time.sleep(0.1)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    if child.returncode != 0:
        raise machine.failure(f"the image is not what it should be: {tail(log)}")


def prune(recipe: Recipe) -> None:
    """Remove images of the suite that an older recipe made, unless a machine runs on them.

    A few are kept: several checkouts may share the cache, each with its own recipe.
    """
    cache = paths.cache_dir()
    others = [folder for folder in cache.glob(f"{recipe.suite}-*") if folder.is_dir() and folder.name != recipe.key()]
    others.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for position, folder in enumerate(others):
        if position < KEEP_OTHERS and time.time() - folder.stat().st_mtime < KEEP_SECONDS:
            continue
        held = locks.try_lock(use_lock(folder.name))
        if held is None:
            continue
        try:
            say(f"removing the old image {folder.name}")
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(held)


def require(path: Path) -> Path:
    """Return the path, or say that it is missing."""
    if not path.exists():
        raise LabError(f"{path} is missing")
    return path
