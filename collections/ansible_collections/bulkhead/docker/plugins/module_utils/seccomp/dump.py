# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the seccomp filters of a running process from the kernel (man 2 ptrace, PTRACE_SECCOMP_GET_FILTER; Linux 4.4).

The process is stopped during the read (10 to 20 ms in an emulated machine) and then continues. A blocking call that it interrupts may
return EINTR. If the reader is killed, the kernel detaches and the process continues.
"""

from __future__ import annotations

import base64
import ctypes
import errno
import os
import time
import zlib
from collections.abc import Sequence

_DETACH, _SEIZE, _INTERRUPT, _GET_FILTER = 17, 0x4206, 0x4207, 0x420C
_EVENT_STOP = 128  # PTRACE_EVENT_STOP
_WALL = 0x40000000  # __WALL: threads and other odd children too
STOP_TIMEOUT = 2.0  # seconds
MAX_FILTERS = 64


class DumpError(OSError):
    """The filters could not be read; the message says why and what to do."""


def read_filters(pid: int) -> list[bytes]:
    """Return the filters of a process as arrays of struct sock_filter, the oldest first; none if it has no filter.

    Needs CAP_SYS_ADMIN and a caller without a filter. Raises DumpError.
    """
    mode = _read_mode(pid)
    if mode == 0:
        return []
    if mode != 2:
        raise DumpError(f"process {pid} is in seccomp mode {mode}, which has no filter to read")
    libc = _load_libc()
    _call_ptrace(libc, _SEIZE, pid, 0, None)
    signal = 0
    try:
        _call_ptrace(libc, _INTERRUPT, pid, 0, None)
        signal = _wait_for_stop(pid)
        return _read_stopped(libc, pid)
    finally:
        # Fails only if the process has ended or was never stopped; then there is nothing to detach.
        libc.ptrace(_DETACH, pid, None, ctypes.c_void_p(signal))


def dump_filters(pid: int) -> list[str]:
    """Return the filters of a process as text (see `encode_filters`). Raises DumpError."""
    return encode_filters(read_filters(pid))


def encode_filters(filters: Sequence[bytes]) -> list[str]:
    """Return filters as text for JSON: zlib, then base64."""
    return [base64.b64encode(zlib.compress(raw, 9)).decode() for raw in filters]


def decode_filters(texts: Sequence[str]) -> list[bytes]:
    """Return the filters of such texts. Raises ValueError."""
    try:
        return [zlib.decompress(base64.b64decode(text, validate=True)) for text in texts]
    except zlib.error as error:
        raise ValueError(f"not a compressed filter: {error}") from error


def _read_mode(pid: int) -> int:
    """Return the seccomp mode: 0 none, 1 strict, 2 filter (man 5 proc_pid_status)."""
    try:
        with open(f"/proc/{pid}/status") as handle:
            fields = dict(line.split(":", 1) for line in handle if ":" in line)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise DumpError(f"process {pid} does not exist") from error
    if "Seccomp" not in fields:
        raise DumpError("this kernel was built without seccomp (CONFIG_SECCOMP)")
    return int(fields["Seccomp"])


def _load_libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return libc


def _call_ptrace(libc: ctypes.CDLL, request: int, pid: int, address: int, data: object) -> int:
    result = libc.ptrace(request, pid, address, data)
    if result == -1:
        raise DumpError(_explain_errno(request, pid, ctypes.get_errno()))
    return int(result)


def _explain_errno(request: int, pid: int, number: int) -> str:
    """Return a message for an errno of these requests (kernel/ptrace.c, kernel/seccomp.c)."""
    if number == errno.ESRCH:
        return f"process {pid} ended during the read"
    if number == errno.EPERM:
        return (
            f"process {pid} cannot be traced: another program (strace, a debugger) traces it, CAP_SYS_PTRACE is missing "
            "(run as root), or kernel.yama.ptrace_scope is 3"
        )
    if number == errno.EACCES and request == _GET_FILTER:
        return "reading filters needs CAP_SYS_ADMIN and a reader without a filter; run as root, outside of containers"
    if number == errno.EINVAL and request == _GET_FILTER:
        return "the kernel cannot show filters (CONFIG_CHECKPOINT_RESTORE is off)"
    return f"ptrace request {request:#x} on process {pid}: {os.strerror(number)}"


def _wait_for_stop(pid: int) -> int:
    """Wait until the process is stopped. Returns the pending signal, which the caller delivers on detaching; 0 for none."""
    deadline = time.monotonic() + STOP_TIMEOUT
    pause = 0.0002
    while time.monotonic() < deadline:
        stopped, status = os.waitpid(pid, os.WNOHANG | _WALL)
        if stopped:
            if not os.WIFSTOPPED(status):
                raise DumpError(f"process {pid} ended during the read")
            return 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    raise DumpError(f"process {pid} did not stop within {STOP_TIMEOUT:.0f} s (state D in /proc/{pid}/status?)")


def _read_stopped(libc: ctypes.CDLL, pid: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < MAX_FILTERS:
        length = libc.ptrace(_GET_FILTER, pid, len(found), None)
        if length == -1 and ctypes.get_errno() == errno.ENOENT and found:
            break  # no more filters
        if length == -1:
            raise DumpError(_explain_errno(_GET_FILTER, pid, ctypes.get_errno()))
        buffer = ctypes.create_string_buffer(8 * length)
        _call_ptrace(libc, _GET_FILTER, pid, len(found), buffer)
        found.append(buffer.raw)
    return found
