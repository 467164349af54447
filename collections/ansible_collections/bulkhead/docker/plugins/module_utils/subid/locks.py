# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the locks of the shadow tools, so that useradd, usermod and this code never write at the same time.

There are two kinds, in this order (shadow lib/commonio.c, commonio_lock and do_lock_file):

1. lckpwdf(3): an fcntl write lock on /etc/.pwd.lock, awaited for up to 15 seconds (glibc misc/lckpwdf.c). systemd takes the same lock.
2. For each file F: write the PID and a NUL to F.PID and link(2) that to F.lock. The lock is taken when the link count is 2, on NFS too.
   A F.lock whose process has ended is removed.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..host.root import Host

PASSWORD_LOCK = "/etc/.pwd.lock"
TIMEOUT = 15.0
_PAUSE = 0.1


class ShadowLocked(Exception):
    """Another process has a lock, or left one that names no owner."""


@contextmanager
def shadow_locks(host: Host, *paths: str, timeout: float = TIMEOUT) -> Iterator[None]:
    """Take lckpwdf and the lock file of each path, such as "/etc/subuid". Raises ShadowLocked after `timeout` seconds, and OSError.

    Do not run useradd or similar tools inside: they would wait for lckpwdf and fail.
    """
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        stack.enter_context(_take_password_lock(host, deadline))
        for path in paths:
            stack.enter_context(_take_file_lock(host.path(path), deadline))
        yield


@contextmanager
def _take_password_lock(host: Host, deadline: float) -> Iterator[None]:
    path = host.path(PASSWORD_LOCK)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError) as error:  # EAGAIN or EACCES, man 2 fcntl
                if time.monotonic() >= deadline:
                    raise ShadowLocked(f"{path} is locked: another tool is changing users; run again when it has finished") from error
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _take_file_lock(path: Path, deadline: float) -> Iterator[None]:
    lock = path.with_name(f"{path.name}.lock")
    own = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(own, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(b"%d\0" % os.getpid())
            handle.flush()
            os.fdatasync(handle.fileno())
        while not _link_lock(own, lock):
            holder = _read_holder(lock)
            if holder is None:
                continue  # removed meanwhile
            # A lock with this PID was left by an earlier process: this process takes each lock once.
            if holder == os.getpid() or not _is_alive(holder):
                lock.unlink(missing_ok=True)
                continue
            if time.monotonic() >= deadline:
                raise ShadowLocked(f"{lock} is held by process {holder}; run again when it has finished")
            time.sleep(_PAUSE)
    finally:
        own.unlink(missing_ok=True)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _link_lock(own: Path, lock: Path) -> bool:
    try:
        os.link(own, lock)
    except FileExistsError:
        return False
    if own.stat().st_nlink != 2:
        lock.unlink(missing_ok=True)
        raise ShadowLocked(f"{lock}: this file system does not count links, so files on it cannot be locked")
    return True


def _read_holder(lock: Path) -> int | None:
    """Return the PID in a lock file; None when the file is gone. Raises ShadowLocked when it has no PID: its owner is then unknown."""
    try:
        text = lock.read_bytes().rstrip(b"\0\n ").decode("ascii", "replace")
    except FileNotFoundError:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ShadowLocked(f"{lock} contains {text!r} instead of a process ID; remove it when no useradd, usermod or userdel runs")
    return int(text)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
