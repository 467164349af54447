# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks of the shadow tools, taken as they take them, so that useradd, usermod and this code never write at once.

Two kinds, in this order (shadow lib/commonio.c, commonio_lock and do_lock_file):

1. lckpwdf(3): an fcntl write lock on /etc/.pwd.lock, waited for up to 15 seconds. Python's standard library lacks it, but it is no
   more than that lock (glibc misc/lckpwdf.c). systemd takes the same one.
2. For each file F: write the PID and a NUL to F.PID, link(2) that to F.lock, and believe it when the link count is 2, which also
   holds on NFS. A F.lock whose PID lives is somebody else's; one whose PID is gone is left over, and removed.
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


class Locked(Exception):
    """Somebody else holds a lock, or left one that can't be judged; the message is a sentence."""


@contextmanager
def shadow_locks(host: Host, *paths: str, timeout: float = TIMEOUT) -> Iterator[None]:
    """Hold lckpwdf and the lock file of each path, e.g. "/etc/subuid". Raises Locked after `timeout` seconds, OSError when /etc can't be
    written.

    Don't run useradd and its kin inside: they would wait for lckpwdf, and fail.
    """
    deadline = time.monotonic() + timeout
    with ExitStack() as held:
        held.enter_context(_lckpwdf(host, deadline))
        for path in paths:
            held.enter_context(_lock_file(host.path(path), deadline))
        yield


@contextmanager
def _lckpwdf(host: Host, deadline: float) -> Iterator[None]:
    path = host.path(PASSWORD_LOCK)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError) as error:  # EAGAIN or EACCES, man 2 fcntl
                if time.monotonic() >= deadline:
                    raise Locked(f"{path} is locked: another tool is changing users; run again when it has finished") from error
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _lock_file(path: Path, deadline: float) -> Iterator[None]:
    lock = path.with_name(f"{path.name}.lock")
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(mine, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(b"%d\0" % os.getpid())
            handle.flush()
            os.fdatasync(handle.fileno())
        while not _linked(mine, lock):
            holder = _holder(lock)
            if holder is None:
                continue  # gone between the two looks
            # One of our own PID was left by a process that had it before us: what this process locks, it locks once.
            if holder == os.getpid() or not _alive(holder):
                lock.unlink(missing_ok=True)
                continue
            if time.monotonic() >= deadline:
                raise Locked(f"{lock} is held by process {holder}; run again when it has finished")
            time.sleep(_PAUSE)
    finally:
        mine.unlink(missing_ok=True)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _linked(mine: Path, lock: Path) -> bool:
    try:
        os.link(mine, lock)
    except FileExistsError:
        return False
    if mine.stat().st_nlink != 2:
        lock.unlink(missing_ok=True)
        raise Locked(f"{lock}: this file system does not count links, so nothing can be locked on it")
    return True


def _holder(lock: Path) -> int | None:
    """The PID in a lock file; None when the file is gone. Raises Locked when no PID stands there, as then nobody can tell whether it is
    left over."""
    try:
        text = lock.read_bytes().rstrip(b"\0\n ").decode("ascii", "replace")
    except FileNotFoundError:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise Locked(f"{lock} holds {text!r} where a process ID belongs; when no useradd, usermod or userdel runs, remove it")
    return int(text)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
