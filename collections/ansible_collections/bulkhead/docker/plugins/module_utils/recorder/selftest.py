# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests an armed recorder: a process with a seccomp filter makes calls that no kernel has, and a cgroup is made."""

from __future__ import annotations

import ctypes
import os
import struct

from ..host.cgroup import CGROUPFS
from . import counts

_LIBC = ctypes.CDLL(None, use_errno=True)
_ALLOWED, _DENIED = 1001, 1000  # numbers that no kernel has, so that the test's counts are not those of a real call
_TIMES = 50
_ERRNO = 4000
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2  # man 2 prctl
_RETURN_ERRNO, _RETURN_ALLOW = 0x00050000, 0x7FFF0000


def find_fault() -> str:
    """Return what the recorder did not count; empty if it works. The test's own counts are removed. Raises RecorderError or OSError."""
    folder = f"{CGROUPFS}/bulkhead-recorder-test-{os.getpid()}"
    os.mkdir(folder)
    try:
        identifier = os.stat(folder).st_ino
    finally:
        os.rmdir(folder)
    child = os.fork()
    if not child:
        os._exit(_make_calls())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        return f"its process could not install a seccomp filter (exit code {status})"
    found = counts.read_counts()
    cgroup = counts.find_cgroup_of(child)
    entered = sum(call.count for call in found.calls if call.cgroup == cgroup and call.number == _ALLOWED)
    denied = sum(call.count for call in found.denied if (call.cgroup, call.number, call.errno) == (cgroup, _DENIED, _ERRNO))
    counts.forget_numbers({_ALLOWED, _DENIED})
    counts.forget_cgroups({identifier})
    if entered != _TIMES or denied != _TIMES:
        return f"of {_TIMES} allowed and {_TIMES} denied calls it counted {entered} and {denied}"
    if found.cgroups.get(identifier) != folder.removeprefix(CGROUPFS):
        return f"it did not record the new cgroup {folder}"
    return ""


def _make_calls() -> int:
    """Install a filter in this process and make the calls. Return an exit code, which is 0 if the filter works."""
    failed = install_filter()
    if failed:
        return failed
    for _time in range(_TIMES):
        _LIBC.syscall(ctypes.c_long(_ALLOWED))
        _LIBC.syscall(ctypes.c_long(_DENIED))
        if ctypes.get_errno() != _ERRNO:
            return 3
    return 0


def install_filter() -> int:
    """Install a filter in this process, which denies a call that no kernel has. Return 0, or the number of the step that failed."""
    filters = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in ((0x20, 0, 0, 0), (0x15, 0, 1, _DENIED), (0x06, 0, 0, _RETURN_ERRNO | _ERRNO), (0x06, 0, 0, _RETURN_ALLOW))
    )
    buffer = ctypes.create_string_buffer(filters, len(filters))
    program = ctypes.create_string_buffer(struct.pack("@HP", 4, ctypes.addressof(buffer)))  # struct sock_fprog
    zero = ctypes.c_long(0)
    if _LIBC.prctl(_SET_NO_NEW_PRIVS, ctypes.c_long(1), zero, zero, zero):
        return 1
    if _LIBC.prctl(_SET_SECCOMP, ctypes.c_long(_MODE_FILTER), program, zero, zero):
        return 2
    return 0
