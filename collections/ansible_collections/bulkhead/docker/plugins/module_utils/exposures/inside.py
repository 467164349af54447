# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads files below the root of a container's process. Only folders are opened for reading.

What is below that root belongs to the container's owner. A symbolic link may name a file of the host, so openat2(2) with RESOLVE_IN_ROOT
resolves every path: no link leaves the root. A FUSE mount is answered by a program of the container, or never. So a child reads, with a time
limit. After it the child is killed and not waited for: in uninterruptible sleep it ends later. O_PATH does not reach the driver of a device.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import math
import os
import select
import signal
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence

# st_mode, st_dev, st_ino and st_rdev (man 2 stat), or why they could not be read.
Found = tuple[int, int, int, int] | str
Row = tuple[str, Found]

_LIBC = ctypes.CDLL(None, use_errno=True)
_OPENAT2, _NO_MAGICLINKS, _IN_ROOT = 437, 0x02, 0x10  # include/uapi/linux/openat2.h; Linux 5.6
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_MAX_BYTES, _MAX_DEPTH, _MAX_ENTRIES = 1 << 20, 4, 4096


def stat_inside(pid: int, paths: Sequence[str], timeout: float) -> dict[str, Found]:
    """Return what stat(2) says of each absolute path as a process sees it, links followed; or the error."""
    return _run_child(lambda: _stat_paths(_open_root(pid), paths), paths, timeout)


def list_nodes(pid: int, folder: str, timeout: float) -> dict[str, Found]:
    """Return what stat(2) says of the device nodes below a folder of a process, such as `/dev`. Links in it are not followed.

    What could not be read to its end, the folder or one below, has an error instead.
    """
    return _run_child(lambda: _walk_folder(_open_root(pid), folder), [folder], timeout)


def _run_child(list_rows: Callable[[], Iterator[Row]], wanted: Sequence[str], timeout: float) -> dict[str, Found]:
    """Return the rows that a child lists within the time limit. After an error, each wanted path without a row has that error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(math.ceil(timeout) + 1)  # for when the parent is killed first
            with open(writer, "w") as pipe:
                try:
                    for row in list_rows():
                        print(json.dumps(row), file=pipe, flush=True)
                    print(json.dumps(""), file=pipe)
                except OSError as failure:
                    print(json.dumps(failure.strerror), file=pipe)
        finally:
            os._exit(0)
    os.close(writer)
    try:
        text, error = _read_pipe(reader, timeout)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        for _attempt in range(20):
            if os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
    found: dict[str, Found] = {}
    error = error or "the process that reads it ended early"
    for row in map(json.loads, text[: text.rfind(b"\n") + 1].splitlines()):
        if isinstance(row, str):  # the end
            error = row
        else:
            found[row[0]] = row[1] if isinstance(row[1], str) else tuple(row[1])
    return {**dict.fromkeys(wanted, error), **found} if error else found


def _read_pipe(reader: int, timeout: float) -> tuple[bytes, str]:
    """Return what a pipe has until its end, and an error if that was not reached."""
    deadline = time.monotonic() + timeout
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    text = b""
    while len(text) < _MAX_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return text, f"not read within {timeout:g} s"
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            return text, ""
        text += chunk
    return text, f"more than {_MAX_BYTES} bytes"


def _stat_paths(root: int, paths: Sequence[str]) -> Iterator[Row]:
    for path in paths:
        try:
            opened = _open_in_root(root, path, os.O_PATH)
            yield path, _get_fields(os.fstat(opened))
            os.close(opened)
        except OSError as error:
            yield path, f"{error.strerror}"


def _walk_folder(root: int, folder: str) -> Iterator[Row]:
    left = _MAX_ENTRIES
    waiting = [(_open_in_root(root, folder, _FOLDER), folder.rstrip("/"), 0)]
    while waiting:
        opened, path, depth = waiting.pop()
        with os.scandir(opened) as entries:
            names = [entry.name for entry in itertools.islice(entries, left + 1)]
        left -= len(names)
        for name in names:  # single names, no link followed: this does not leave the folder
            inside = f"{path}/{name}"
            try:
                found = os.stat(name, dir_fd=opened, follow_symlinks=False)
                if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode):
                    yield inside, _get_fields(found)
                elif stat.S_ISDIR(found.st_mode) and depth == _MAX_DEPTH:
                    yield inside, f"deeper than {_MAX_DEPTH} folders"
                elif stat.S_ISDIR(found.st_mode):
                    waiting.append((os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=opened), inside, depth + 1))
            except OSError as error:
                yield inside, f"{error.strerror}"
        os.close(opened)
        if left < 0:
            raise OSError(7, f"more than {_MAX_ENTRIES} entries")


def _open_root(pid: int) -> int:
    return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)


def _open_in_root(root: int, path: str, flags: int) -> int:
    """Return a descriptor of a path, resolved as if `root` were the root directory. Raises OSError."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, _IN_ROOT | _NO_MAGICLINKS)  # struct open_how
    for _attempt in range(8):
        result = _LIBC.syscall(ctypes.c_long(_OPENAT2), ctypes.c_long(root), os.fsencode(path), how, ctypes.c_long(len(how)))
        if result >= 0:
            return int(result)
        if ctypes.get_errno() != 11:  # EAGAIN: something was renamed meanwhile
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _get_fields(found: os.stat_result) -> Found:
    return found.st_mode, found.st_dev, found.st_ino, found.st_rdev
