# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the loaded programs: a process in a control group that is named as a container's makes calls that are denied."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from contextlib import suppress

from ..host.cgroup import CGROUPFS
from . import counts

_LIBC = ctypes.CDLL(None, use_errno=True)
_DENIED_NUMBER, _TIMES = 1000, 20  # a number that no kernel has
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2  # man 2 prctl
_RETURN_ERRNO, _RETURN_ALLOW = 0x00050000, 0x7FFF0000
_NOBODY, _CAP_SYS_ADMIN = 65534, 21


def find_fault() -> str:
    """Return what was not counted; empty if everything was. What the test itself left is removed. Raises OSError."""
    folder = f"/docker-{os.getpid():064x}.scope"
    os.mkdir(f"{CGROUPFS}{folder}")
    try:
        child = os.fork()
        if not child:
            os._exit(_make_calls(f"{CGROUPFS}{folder}/cgroup.procs"))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            return f"its process could not make the calls (exit code {status})"
        identifier = os.stat(f"{CGROUPFS}{folder}").st_ino
        found = {(d.cause, d.capability, d.errno): d.count for d in counts.read_counts().denials if d.cgroup == identifier}
        counts.forget_group(folder)
    finally:
        with suppress(OSError):
            os.rmdir(f"{CGROUPFS}{folder}")
    expected = {("seccomp", None, errno.ENOSYS): _TIMES, ("non_root_user", _CAP_SYS_ADMIN, errno.EPERM): _TIMES}
    missing = {name: count for name, count in expected.items() if found.get(name) != count}
    return f"it counted {found or 'nothing'}, without {missing}" if missing else ""


def _make_calls(group: str) -> int:
    """Enter the control group, change to user nobody, install a filter and make calls. Return an exit code, which is 0 if all were denied."""
    with open(group, "w", encoding="ascii") as file:
        file.write("0")
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    instructions = ((0x20, 0, 0, 0), (0x15, 0, 1, _DENIED_NUMBER), (0x06, 0, 0, _RETURN_ERRNO | errno.ENOSYS), (0x06, 0, 0, _RETURN_ALLOW))
    filters = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(filters, len(filters))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(instructions), ctypes.addressof(buffer)))  # struct sock_fprog
    zero = ctypes.c_long(0)
    if _LIBC.prctl(_SET_NO_NEW_PRIVS, ctypes.c_long(1), zero, zero, zero):
        return 1
    if _LIBC.prctl(_SET_SECCOMP, ctypes.c_long(_MODE_FILTER), program, zero, zero):
        return 2
    for _time in range(_TIMES):
        _LIBC.syscall(ctypes.c_long(_DENIED_NUMBER))
        if ctypes.get_errno() != errno.ENOSYS:
            return 3
        try:
            socket.sethostname(socket.gethostname())
        except PermissionError:
            continue
        return 4
    return 0
