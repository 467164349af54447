# SPDX-License-Identifier: GPL-3.0-or-later
"""What is prepared on the host for the attacks to reach for: stand-ins, which are gone when the run is, or at the latest when the next begins.

A rootless engine mounts as its user, to whom /var/lib/bulkhead is closed: its stage lies beside that folder, open to the user's own group.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..engine.instance import Instance
from ..engine.probe_image import find_program
from ..engine.temporary import identify_process, is_running
from ..host.root import STATE_DIR, Host
from ..host.state import ensure_folder
from ..seccomp.syscalls import load_table
from .catalog import CALLS, MODULES
from .image import SETUID

PROC, SHARED = "/bulkhead-host-proc", "/bulkhead-shared"
_STAGE, _MODULES = "attack-", "modules"
_USERS_STAGE = f"{STATE_DIR}-{_STAGE}"


@contextmanager
def stage(host: Host, machine: str, instance: Instance) -> Iterator[dict[str, Any]]:
    """The ground that the player gets (see calls.py), and `binds`, what is mounted into every container. Raises OSError, KeyError.

    instance: the engine that mounts it.
    """
    known = host.path(STATE_DIR).exists()
    base = ensure_folder(host)
    _clear(host, base)
    name = identify_process(host).replace(":", ".")
    place = host.path(f"{_USERS_STAGE}{name}") if instance.rootless else base / f"{_STAGE}{name}"
    owner = (instance.uid or 0, instance.gid or 0)
    before = modules(host)
    listener = None
    try:
        place.mkdir(mode=0o710)
        os.chown(place, 0, owner[1])
        (place / "shared").mkdir()
        (place / _MODULES).write_text(" ".join(sorted(before)))
        secret = secrets.token_hex(16)
        (place / "secret").touch(mode=0o600)
        (place / "secret").write_text(secret)
        memory = ctypes.create_string_buffer(secret.encode())
        if not instance.rootless:  # there, root in a container is always the one whom the image's belongs to
            # A copy that belongs to the host's root: the image's belongs to the remapped one where the engine remaps.
            (place / "shared" / "setuid").write_bytes(Path(find_program("id")).read_bytes())
            (place / "shared" / "setuid").chmod(0o4755)
        listener = _listen(place / "shared" / "engine.sock", owner)
        yield {
            "numbers": {name: number for name, number in load_table(machine).items() if name in CALLS},
            "binds": [f"/proc:{PROC}", f"{place}/shared:{SHARED}:ro"],
            "ground": {
                "name": f"bulkhead-{os.getpid()}",
                "proc": PROC,
                "folder": SHARED,
                "socket": f"{SHARED}/engine.sock",
                "victim": os.getpid(),
                "address": ctypes.addressof(memory),
                "secret": secret,
                "handle": file_handle(place / "secret"),
                "disk": _disk(host),
                "setuid": [SETUID, f"{SHARED}/setuid"],
                "cgroup": _cgroup(host),
            },
        }
    finally:
        if listener:
            listener.close()
        shutil.rmtree(place, ignore_errors=True)
        _unload(host, before)
        if not known:  # a host that was never hardened has none, and keeps none
            with suppress(OSError):
                base.rmdir()


def _clear(host: Host, base: Path) -> None:
    """Remove what runs left that are gone, kernel modules that they made the kernel load included."""
    for left in [*base.glob(f"{_STAGE}*"), *base.parent.glob(f"{base.name}-{_STAGE}*")]:
        if not is_running(host, left.name.rpartition(_STAGE)[2].replace(".", ":")):
            with suppress(OSError):
                _unload(host, set((left / _MODULES).read_text().split()))
            shutil.rmtree(left, ignore_errors=True)


def _listen(path: Path, owner: tuple[int, int]) -> socket.socket:
    """A socket as the engine's (root's or the user's, 0660), behind which connections are taken and closed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.chown(path, *owner)
    path.chmod(0o660)
    listener.listen(16)

    def accept() -> None:
        with suppress(OSError):
            while True:
                listener.accept()[0].close()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def file_handle(path: Path) -> str:
    """The file's handle as open_by_handle_at takes it, in hex; empty where its file system gives none (man 2 open_by_handle_at)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = ctypes.create_string_buffer((128).to_bytes(4, "little") + bytes(4), 136)
    mount = ctypes.c_int()
    try:
        if libc.name_to_handle_at(-100, str(path).encode(), handle, ctypes.byref(mount), 0):
            return ""
    except AttributeError:  # a C library without the call
        return ""
    return handle.raw[: 8 + int.from_bytes(handle.raw[:4], "little")].hex()


def _disk(host: Host) -> list[int]:
    """Major and minor number of the disk below /; where that is none (btrfs, overlay), of the first one that the kernel has."""
    device = os.stat(host.path("/")).st_dev
    if os.major(device):
        return [os.major(device), os.minor(device)]
    for line in (host.read("/proc/partitions") or "").splitlines()[2:]:
        fields = line.split()
        if len(fields) == 4:
            return [int(fields[0]), int(fields[1])]
    return [0, 0]


def _cgroup(host: Host) -> str:
    """This process's own cgroup below the root of the unified hierarchy; empty where there is none (man 7 cgroups)."""
    lines = (host.read("/proc/self/cgroup") or "").splitlines()
    return next((line[3:] for line in lines if line.startswith("0::")), "")


def modules(host: Host) -> set[str]:
    """The kernel modules that are loaded."""
    return {line.split()[0] for line in (host.read("/proc/modules") or "").splitlines()}


def _unload(host: Host, before: set[str]) -> None:
    """Unload what the attacks made the kernel load. One that somebody uses since stays (O_NONBLOCK, man 2 delete_module)."""
    libc = ctypes.CDLL(None, use_errno=True)
    for unused in MODULES:  # in any order of dependence
        for name in MODULES:
            if name in modules(host) - before:
                libc.syscall(ctypes.c_long(load_table(os.uname().machine)["delete_module"]), name.encode(), ctypes.c_long(os.O_NONBLOCK))
