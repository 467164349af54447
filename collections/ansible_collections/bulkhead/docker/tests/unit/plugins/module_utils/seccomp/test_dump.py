# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of real processes are read, and no process is left stopped or changed."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import dump, encoding

from ...builders import write_files
from .programs import LD, NR, RET, assemble

ALLOW_ALL = assemble((LD, 0, 0, NR), (RET, 0, 0, 0x7FFF0000))
CLONE_VFORK = 0x4000
SYS_CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine(), 0)

Spawn = Callable[..., int]


def install_filter(raw: bytes) -> None:
    buffer = ctypes.create_string_buffer(raw, len(raw))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(raw) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    unused = ctypes.c_ulong(0)
    assert libc.prctl(38, ctypes.c_ulong(1), unused, unused, unused) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(program), unused, unused) == 0, os.strerror(ctypes.get_errno())  # PR_SET_SECCOMP


def sleep_long() -> None:
    time.sleep(60)


def wait_in_vfork() -> None:
    """Wait in state D for a child that does not exec, as a parent in vfork does."""
    if ctypes.CDLL(None).syscall(SYS_CLONE, CLONE_VFORK | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        time.sleep(60)


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a process with a number of filters that runs a function; all are killed at the end."""
    children: list[int] = []

    def start(filters: int = 1, run: Callable[[], Any] = sleep_long) -> int:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.setpgid(0, 0)
                for unused in range(filters):
                    install_filter(ALLOW_ALL)
                os.write(writer, b"x")
                run()
            finally:
                os._exit(0)
        os.close(writer)
        assert os.read(reader, 1) == b"x", "the child could not install its filter"
        os.close(reader)
        children.append(child)
        return child

    yield start
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def read_stat(pid: int) -> tuple[str, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def wait_for_state(pid: int, states: str) -> None:
    deadline = time.monotonic() + 5
    while read_stat(pid)[0] not in states:
        assert time.monotonic() < deadline, f"state {read_stat(pid)[0]}, not {states}"
        time.sleep(0.01)


def read_status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def read_tracer(pid: int) -> int:
    return int(next(line.split()[1] for line in read_status(pid).splitlines() if line.startswith("TracerPid")))


def is_ptrace_permitted() -> bool:
    child = os.fork()
    if not child:
        time.sleep(30)
        os._exit(0)
    try:
        libc = dump._load_libc()
        return os.geteuid() == 0 and libc.ptrace(dump._SEIZE, child, None, None) == 0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


needs_ptrace = pytest.mark.skipif(not is_ptrace_permitted(), reason="this environment does not permit ptrace")


@needs_ptrace
@pytest.mark.parametrize("filters", [1, 3])
def test_filters_of_a_process_are_read(spawn: Spawn, filters: int) -> None:
    pid = spawn(filters)
    assert dump.read_filters(pid, read_stat(pid)[1]) == [ALLOW_ALL] * filters
    assert read_tracer(pid) == 0
    wait_for_state(pid, "S")


def install_logging_filter() -> None:
    install_filter(ALLOW_ALL)
    buffer = ctypes.create_string_buffer(ALLOW_ALL, len(ALLOW_ALL))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(ALLOW_ALL) // 8, ctypes.addressof(buffer)))
    number = {"x86_64": 317, "aarch64": 277}[platform.machine()]  # seccomp
    assert ctypes.CDLL(None).syscall(number, 1, 2, program) == 0  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG
    sleep_long()


@needs_ptrace
def test_flags_of_filters_are_read(spawn: Spawn) -> None:
    pid = spawn(1, install_logging_filter)
    deadline = time.monotonic() + 30
    while len(texts := dump.read_filter_texts(pid)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert encoding.decode_flags(texts) == [0, 0, 2]
    assert encoding.decode_filters(texts) == [ALLOW_ALL] * 3


@needs_ptrace
def test_a_kernel_without_metadata_shows_no_flags(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "_GET_METADATA", 0x4299)  # EIO, as before Linux 4.16
    assert encoding.decode_flags(dump.read_filter_texts(spawn())) == [None]


@needs_ptrace
def test_errors_do_not_prevent_the_read_of_other_processes(spawn: Spawn) -> None:
    first, second, third = spawn(), spawn(2), spawn(0)
    answers = dump.dump_filters([(first, None), (2**22 - 1, None), (second, 5), (second, None), (third, None)])
    assert [len(answer) if isinstance(answer, list) else answer for answer in answers] == [
        1,
        "process 4194303 does not exist",
        f"process {second} has ended, and another one has its PID",
        2,
        0,
    ]
    assert [read_tracer(pid) for pid in (first, second, third)] == [0, 0, 0]


@needs_ptrace
def test_a_process_with_another_start_time_is_not_stopped(spawn: Spawn) -> None:
    pid = spawn()
    wait_for_state(pid, "S")
    with pytest.raises(dump.DumpError, match="another one has its PID"):
        dump.read_filters(pid, read_stat(pid)[1] + 1)
    assert (read_stat(pid)[0], read_tracer(pid)) == ("S", 0)


@needs_ptrace
def test_filters_of_a_thread_are_read(spawn: Spawn) -> None:
    def install_in_thread() -> None:
        time.sleep(0.05)  # the thread starts some clock ticks later
        threading.Thread(target=lambda: (install_filter(ALLOW_ALL), sleep_long())).start()
        sleep_long()

    pid = spawn(run=install_in_thread)
    deadline = time.monotonic() + 5
    while len(tasks := sorted(map(int, os.listdir(f"/proc/{pid}/task")))) < 2 or "Seccomp_filters:\t2" not in read_status(tasks[1]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started = read_stat(pid)[1]
    found = dump.dump_filters([(tasks[1], started), (pid, started), (tasks[1], started + 1)])
    assert [len(one) if isinstance(one, list) else one[-30:] for one in found] == [2, 1, "ended, and another one has its PID"[-30:]]


@needs_ptrace
def test_a_stopped_process_is_read_and_stays_stopped(spawn: Spawn) -> None:
    pid = spawn()
    os.kill(pid, signal.SIGSTOP)
    wait_for_state(pid, "T")
    assert dump.read_filters(pid) == [ALLOW_ALL]
    time.sleep(0.05)
    assert (read_stat(pid)[0], read_tracer(pid)) == ("T", 0)
    os.kill(pid, signal.SIGCONT)
    wait_for_state(pid, "S")


@needs_ptrace
def test_a_running_process_keeps_running(spawn: Spawn) -> None:
    def spin() -> None:
        while True:
            pass

    pid = spawn(run=spin)
    assert dump.read_filters(pid) == [ALLOW_ALL]
    wait_for_state(pid, "R")


def refuse_ptrace(*unused: Any) -> int:
    raise AssertionError("a process that is unfit must not be traced")


@pytest.mark.skipif(not SYS_CLONE, reason="the number of clone is not known here")
def test_uninterruptible_sleep_is_skipped_without_ptrace(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "_call_ptrace", refuse_ptrace)
    monkeypatch.setattr(dump, "SLEEP_TIMEOUT", 0.2)
    pid = spawn(run=wait_in_vfork)
    wait_for_state(pid, "D")
    with pytest.raises(dump.DumpError, match=r"uninterruptible sleep \(state D\)"):
        dump.read_filters(pid)


@needs_ptrace
@pytest.mark.skipif(not SYS_CLONE, reason="the number of clone is not known here")
def test_a_short_uninterruptible_sleep_is_waited_for(spawn: Spawn) -> None:
    def wait_twice() -> None:
        wait_in_vfork()
        sleep_long()

    pid, other, asleep = spawn(run=wait_twice), spawn(2), spawn(run=wait_in_vfork)
    for waiting in (pid, asleep):
        wait_for_state(waiting, "D")
    inner = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    threading.Timer(0.3, os.kill, (inner, signal.SIGKILL)).start()  # then the vfork returns
    first, second, third = dump.dump_filters([(pid, None), (other, None), (asleep, None)])
    assert [len(first), len(second)] == [1, 2]
    assert isinstance(third, str) and "uninterruptible sleep (state D)" in third


@needs_ptrace
@pytest.mark.skipif(not SYS_CLONE, reason="the number of clone is not known here")
def test_a_process_that_does_not_stop_is_not_stopped_later(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "_UNFIT", {})  # it enters state D after the check
    monkeypatch.setattr(dump, "STOP_TIMEOUT", 0.3)
    pid, other = spawn(run=wait_in_vfork), spawn()
    wait_for_state(pid, "D")
    late, good = dump.dump_filters([(pid, None), (other, None)])
    assert "did not stop within" in late and len(good) == 1
    inner = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    os.kill(inner, signal.SIGKILL)
    os.waitpid(pid, 0)  # the vfork returns and the process ends: no stop was pending


@needs_ptrace
@pytest.mark.parametrize("function", ["_wait_for_stop", "_read_stopped"])
def test_a_reader_that_hangs_is_killed_and_the_process_continues(spawn: Spawn, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    monkeypatch.setattr(dump, function, lambda *unused: time.sleep(60))
    monkeypatch.setattr(dump, "CHILD_TIMEOUT", 0.3)
    pid = spawn()
    with pytest.raises(dump.DumpError, match="could not be read within"):
        dump.read_filters(pid)
    wait_for_state(pid, "S")
    assert read_tracer(pid) == 0


def test_a_zombie_is_skipped(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "_call_ptrace", refuse_ptrace)
    pid = spawn(run=lambda: None)
    wait_for_state(pid, "Z")
    with pytest.raises(dump.DumpError, match=r"has ended \(state Z\)|does not exist"):
        dump.read_filters(pid)


@pytest.mark.parametrize(
    ("groups", "files", "frozen"),
    [
        ("0::/docker/1", {"docker/1/cgroup.events": "populated 1\nfrozen 1\n"}, True),
        ("0::/docker/1", {"docker/1/cgroup.events": "populated 1\nfrozen 0\n"}, False),
        ("0::/docker/1", {"docker/1/cgroup.events": "populated 1\n"}, False),  # before Linux 5.2
        ("0::/", {}, False),
        ("0::/docker/1", {"unified/docker/1/cgroup.events": "populated 1\nfrozen 1\n"}, True),
        ("3:freezer:/docker/1\n0::/", {"freezer/docker/1/freezer.state": "FROZEN\n"}, True),
        ("3:freezer:/docker/1\n0::/", {"freezer/docker/1/freezer.state": "FREEZING\n"}, True),
        ("3:freezer:/docker/1\n0::/", {"freezer/docker/1/freezer.state": "THAWED\n"}, False),
        ("3:freezer:/", {}, False),
    ],
)
def test_frozen_containers_are_skipped(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: str, files: dict[str, str], frozen: bool
) -> None:
    pid, read = spawn(), dump._read_proc
    monkeypatch.setattr(dump, "CGROUPFS", str(tmp_path))
    monkeypatch.setattr(dump, "_read_proc", lambda which, name: groups if name == "cgroup" else read(which, name))
    write_files(tmp_path, files)
    assert dump._is_frozen(pid) is frozen
    if frozen:
        monkeypatch.setattr(dump, "_call_ptrace", refuse_ptrace)
        with pytest.raises(dump.DumpError, match=r"is frozen \(docker pause\)"):
            dump.read_filters(pid)


def test_the_child_prints_nothing_and_runs_nothing_of_the_caller(tmp_path: Path) -> None:
    program = (
        "import atexit, sys\n"
        "from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import dump, encoding\n"
        "atexit.register(print, 'end')\n"
        "sys.stdout.write('buffered ')\n"
        "print(dump.dump_filters([(4194303, None), (4194302, None)]))\n"
    )
    root = Path(dump.__file__).parents[6]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(root)})
    assert done.stdout == "buffered ['process 4194303 does not exist', 'process 4194302 does not exist']\nend\n"
    assert done.stderr == ""


def test_filters_are_restored_from_text() -> None:
    raw = [b"\x20\0\0\0\0\0\0\0" * 900, b"\x06\0\0\0\0\0\xff\x7f"]
    assert encoding.decode_filters(encoding.encode_filters(raw)) == raw


@pytest.mark.parametrize("text", ["!", "AAAA"])
def test_damaged_text_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        encoding.decode_filters([text])


def test_process_does_not_exist() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(dump.DumpError, match="does not exist"):
        dump.read_filters(process.pid)


@pytest.mark.parametrize(
    ("request_", "number", "message"),
    [
        (dump._SEIZE, errno.EPERM, "CAP_SYS_PTRACE is missing.*ptrace_scope is 3"),
        (dump._SEIZE, errno.ESRCH, "ended during the read"),
        (dump._GET_FILTER, errno.EACCES, "CAP_SYS_ADMIN and a reader without a filter"),
        (dump._GET_FILTER, errno.EINVAL, "CONFIG_CHECKPOINT_RESTORE"),
        (dump._INTERRUPT, errno.EIO, "0x4207 on process 7"),
    ],
)
def test_error_messages(request_: int, number: int, message: str) -> None:
    with pytest.raises(OSError, match=message):
        raise dump.DumpError(dump._explain_errno(request_, 7, number))
