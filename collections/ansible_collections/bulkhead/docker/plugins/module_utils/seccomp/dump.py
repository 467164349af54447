# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the seccomp filters of running processes from the kernel (man 2 ptrace, PTRACE_SECCOMP_GET_FILTER; Linux 4.4), and their flags
(PTRACE_SECCOMP_GET_METADATA, linux/ptrace.h; Linux 4.16).

A process is stopped during the read (10 to 20 ms in an emulated machine) and then continues. A blocking call that it interrupts may
return EINTR. The tracer is a child with a time limit. When it ends, the kernel detaches and discards a stop that is still pending
(kernel/ptrace.c, __ptrace_unlink). So no process is left stopped, whatever happens to the child.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import struct
import time
from collections.abc import Iterator, Sequence

from ..host.cgroup import CGROUPFS
from .encoding import decode_filters, encode_filters

_DETACH, _SEIZE, _INTERRUPT, _GET_FILTER = 17, 0x4206, 0x4207, 0x420C
_GET_METADATA, _METADATA = 0x420D, struct.Struct("=QQ")  # struct seccomp_metadata: number of the filter, flags
_EVENT_STOP = 128  # PTRACE_EVENT_STOP
_WALL = 0x40000000  # __WALL: threads and other odd children too
STOP_TIMEOUT = 2.0  # seconds
SLEEP_TIMEOUT = 1.0  # seconds for all processes: most leave state D soon
CHILD_TIMEOUT = 5.0  # seconds per process, reading included
MAX_FILTERS = 64
# States of /proc/PID/stat in which a process cannot be stopped at once (man 5 proc_pid_stat).
_ASLEEP = "is in uninterruptible sleep (state D), and would be stopped later"
_UNFIT = {"D": _ASLEEP, "Z": "has ended (state Z)", "X": "has ended (state X)", "x": "has ended (state X)"}

Target = tuple[int, "int | None"]  # PID or thread ID, and the start time of its process in clock ticks since boot; None: not checked


class DumpError(OSError):
    """The filters could not be read; the message says why and what to do."""


def read_filters(pid: int, started: int | None = None) -> list[bytes]:
    """Return the filters of a process as arrays of struct sock_filter, the oldest first; none if it has no filter. Raises DumpError."""
    return decode_filters(read_filter_texts(pid, started))


def read_filter_texts(pid: int, started: int | None = None) -> list[str]:
    """Return the filters of a process as texts (see `encode_filters`). Raises DumpError."""
    (found,) = dump_filters([(pid, started)])
    if isinstance(found, str):
        raise DumpError(found)
    return found


def dump_filters(targets: Sequence[Target]) -> list[list[str] | str]:
    """Return per process its filters as texts (see `encode_filters`), or one message why they could not be read.

    Needs CAP_SYS_ADMIN and a caller without a filter. A process that was started at another time than `started` is not read.
    """
    found = _try_targets(targets)
    deadline = time.monotonic() + SLEEP_TIMEOUT
    while (asleep := [at for at, one in enumerate(found) if isinstance(one, str) and _ASLEEP in one]) and time.monotonic() < deadline:
        time.sleep(0.02)
        for at, one in zip(asleep, _try_targets([targets[at] for at in asleep]), strict=True):
            found[at] = one
    return found


def _try_targets(targets: Sequence[Target]) -> list[list[str] | str]:
    found: list[list[str] | str] = []
    while len(found) < len(targets):
        left = targets[len(found) :]
        answers = list(_run_child(left))
        found += answers
        if len(answers) < len(left) and not (answers and isinstance(answers[-1], str)):
            found.append(f"process {left[len(answers)][0]} could not be read within {CHILD_TIMEOUT:.0f} s")
    return found


def _run_child(targets: Sequence[Target]) -> Iterator[list[str] | str]:
    """Yield the answers of a child that reads processes until its first error; then its end detaches it from all of them."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:  # os._exit: nothing of the caller is flushed, closed or printed twice
            os.close(reader)
            _answer_targets(targets, writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    rest = b""
    try:
        while select.select([reader], [], [], CHILD_TIMEOUT)[0]:
            piece = os.read(reader, 1 << 16)
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(json.loads, lines)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _answer_targets(targets: Sequence[Target], writer: int) -> None:
    libc = _load_libc()
    for pid, started in targets:
        answer: list[str] | str
        try:
            answer = encode_filters(*_read_process(libc, pid, started))
        except OSError as error:
            answer = str(error)
        text = json.dumps(answer).encode() + b"\n"
        while text:
            text = text[os.write(writer, text) :]
        if isinstance(answer, str):
            return


def _read_process(libc: ctypes.CDLL, pid: int, started: int | None) -> tuple[list[bytes], list[int | None]]:
    """Return the filters of a process, and the flags of each. After an error the caller has to end, so that the kernel detaches."""
    status = _read_status(pid)
    mode = int(status["Seccomp"])
    if mode == 0:
        return [], []
    if mode != 2:
        raise DumpError(f"process {pid} is in seccomp mode {mode}, which has no filter to read")
    state = _read_stat(pid)[0]
    # In a frozen cgroup of v1 a process is in state D too.
    reason = "is frozen (docker pause)" if _is_frozen(pid) else _UNFIT.get(state)
    if reason:
        raise DumpError(f"process {pid} {reason}")
    _call_ptrace(libc, _SEIZE, pid, 0, None)
    # From here on the process cannot be another one: a tracee's PID is not reused. It still runs.
    if started is not None and _read_stat(int(_read_status(pid)["Tgid"]))[1] != started:
        raise DumpError(f"process {pid} has ended, and another one has its PID")
    _call_ptrace(libc, _INTERRUPT, pid, 0, None)
    pending = _wait_for_stop(pid)
    found = _read_stopped(libc, pid)
    flags = [_read_flags(libc, pid, number) for number in range(len(found))]
    # A process that a signal had stopped before stays stopped (man 2 ptrace, group-stop).
    _call_ptrace(libc, _DETACH, pid, 0, ctypes.c_void_p(pending))
    return found, flags


def _read_status(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status (man 5 proc_pid_status). Seccomp is the mode: 0 none, 1 strict, 2 filter."""
    fields = dict(line.split(":", 1) for line in _read_proc(pid, "status").splitlines() if ":" in line)
    if "Seccomp" not in fields:
        raise DumpError("this kernel was built without seccomp (CONFIG_SECCOMP)")
    return fields


def _read_stat(pid: int) -> tuple[str, int]:
    """Return state and start time of a process: fields 3 and 22 of /proc/PID/stat, the command before may contain anything."""
    fields = _read_proc(pid, "stat").rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _is_frozen(pid: int) -> bool:
    """Return whether a process or a cgroup above is frozen (Linux admin-guide/cgroup-v2.rst, cgroup-v1/freezer-subsystem.rst)."""
    for line in _read_proc(pid, "cgroup").splitlines():
        unused, controllers, path = line.split(":", 2)
        if controllers not in ("", "freezer"):
            continue
        folders = [f"{CGROUPFS}/freezer{path}"] if controllers else [f"{CGROUPFS}{path}", f"{CGROUPFS}/unified{path}"]
        for folder in folders:
            for name, thawed in (("cgroup.events", "frozen 0"), ("freezer.state", "THAWED")):
                try:
                    with open(f"{folder}/{name}") as handle:
                        text = handle.read()
                except OSError:  # the other version of cgroups, or the root
                    continue
                if thawed not in text and (name == "freezer.state" or "frozen 1" in text):
                    return True
    return False


def _read_proc(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="surrogateescape") as handle:
            return handle.read()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise DumpError(f"process {pid} does not exist") from error


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
    raise DumpError(f"process {pid} did not stop within {STOP_TIMEOUT:.0f} s, and was not stopped later")


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


def _read_flags(libc: ctypes.CDLL, pid: int, number: int) -> int | None:
    """Return the flags of a filter; None if the kernel does not show them. It shows SECCOMP_FILTER_FLAG_LOG alone (kernel/seccomp.c)."""
    buffer = ctypes.create_string_buffer(_METADATA.pack(number, 0), _METADATA.size)
    done = libc.ptrace(_GET_METADATA, pid, _METADATA.size, buffer)
    return _METADATA.unpack(buffer.raw)[1] if done == _METADATA.size else None
