# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepares targets of attacks on the host: stand-ins that are removed after the run, or at the latest before the next one.

A rootless engine mounts as its user, who cannot read /var/lib/bulkhead: its folder is next to that one, readable by the user's group.
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
_PREFIX, _MODULES = "attack-", "modules"
_USERS_PREFIX = f"{STATE_DIR}-{_PREFIX}"


@contextmanager
def prepare_host(host: Host, machine: str, instance: Instance) -> Iterator[dict[str, Any]]:
    """Yield `numbers` and `preparation` for the runner (see calls.py), and `binds`, the mounts of every container. Raises OSError, KeyError.

    instance: the engine that mounts them.
    """
    existed = host.path(STATE_DIR).exists()
    base = ensure_folder(host)
    _remove_leftovers(host, base)
    name = identify_process(host).replace(":", ".")
    folder = host.path(f"{_USERS_PREFIX}{name}") if instance.rootless else base / f"{_PREFIX}{name}"
    owner = (instance.uid or 0, instance.gid or 0)
    before = list_modules(host)
    listener = None
    try:
        folder.mkdir(mode=0o710)
        os.chown(folder, 0, owner[1])
        (folder / "shared").mkdir()
        (folder / _MODULES).write_text(" ".join(sorted(before)))
        secret = secrets.token_hex(16)
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_text(secret)
        memory = ctypes.create_string_buffer(secret.encode())
        if not instance.rootless:  # in a rootless engine, root in a container always owns the image's copy
            # A copy owned by the host's root: the remapped root owns the image's copy if the engine remaps.
            (folder / "shared" / "setuid").write_bytes(Path(find_program("id")).read_bytes())
            (folder / "shared" / "setuid").chmod(0o4755)
        listener = _open_socket(folder / "shared" / "engine.sock", owner)
        yield {
            "numbers": {name: number for name, number in load_table(machine).items() if name in CALLS},
            "binds": [f"/proc:{PROC}", f"{folder}/shared:{SHARED}:ro"],
            "preparation": {
                "name": f"bulkhead-{os.getpid()}",
                "proc": PROC,
                "folder": SHARED,
                "socket": f"{SHARED}/engine.sock",
                "victim": os.getpid(),
                "address": ctypes.addressof(memory),
                "secret": secret,
                "handle": read_file_handle(folder / "secret"),
                "disk": _find_disk(host),
                "setuid": [SETUID, f"{SHARED}/setuid"],
                "cgroup": _read_cgroup(host),
            },
        }
    finally:
        if listener:
            listener.close()
        shutil.rmtree(folder, ignore_errors=True)
        _unload_modules(host, before)
        if not existed:  # a host that was never hardened has no such folder
            with suppress(OSError):
                base.rmdir()


def _remove_leftovers(host: Host, base: Path) -> None:
    """Remove what interrupted runs left, including the kernel modules that they loaded."""
    for left in [*base.glob(f"{_PREFIX}*"), *base.parent.glob(f"{base.name}-{_PREFIX}*")]:
        if not is_running(host, left.name.rpartition(_PREFIX)[2].replace(".", ":")):
            with suppress(OSError):
                _unload_modules(host, set((left / _MODULES).read_text().split()))
            shutil.rmtree(left, ignore_errors=True)


def _open_socket(path: Path, owner: tuple[int, int]) -> socket.socket:
    """Return a socket with the owner and mode of the engine's (0660). It accepts and closes connections."""
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


def read_file_handle(path: Path) -> str:
    """Return the handle of a file for open_by_handle_at, in hex; empty if its file system has none (man 2 open_by_handle_at)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = ctypes.create_string_buffer((128).to_bytes(4, "little") + bytes(4), 136)
    mount = ctypes.c_int()
    try:
        if libc.name_to_handle_at(-100, str(path).encode(), handle, ctypes.byref(mount), 0):
            return ""
    except AttributeError:  # a C library without the call
        return ""
    return handle.raw[: 8 + int.from_bytes(handle.raw[:4], "little")].hex()


def _find_disk(host: Host) -> list[int]:
    """Return major and minor number of the disk of /, or of the kernel's first disk if / has none (btrfs, overlay)."""
    device = os.stat(host.path("/")).st_dev
    if os.major(device):
        return [os.major(device), os.minor(device)]
    for line in (host.read("/proc/partitions") or "").splitlines()[2:]:
        fields = line.split()
        if len(fields) == 4:
            return [int(fields[0]), int(fields[1])]
    return [0, 0]


def _read_cgroup(host: Host) -> str:
    """Return the cgroup of this process in the unified hierarchy; empty if there is none (man 7 cgroups)."""
    lines = (host.read("/proc/self/cgroup") or "").splitlines()
    return next((line[3:] for line in lines if line.startswith("0::")), "")


def list_modules(host: Host) -> set[str]:
    """Return the names of the loaded kernel modules."""
    return {line.split()[0] for line in (host.read("/proc/modules") or "").splitlines()}


def _unload_modules(host: Host, before: set[str]) -> None:
    """Unload the modules that attacks loaded. A module in use stays (O_NONBLOCK, man 2 delete_module)."""
    libc = ctypes.CDLL(None, use_errno=True)
    for unused in MODULES:  # in any order of dependence
        for name in MODULES:
            if name in list_modules(host) - before:
                libc.syscall(ctypes.c_long(load_table(os.uname().machine)["delete_module"]), name.encode(), ctypes.c_long(os.O_NONBLOCK))
