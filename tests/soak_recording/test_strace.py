# SPDX-License-Identifier: GPL-3.0-or-later
"""Which calls of a log of strace were made with a filter."""

from __future__ import annotations

from soak_recording.strace import Traced, read_calls

LOG = """\
1  openat(AT_FDCWD, ""..., O_RDONLY) = 3
1  clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD <unfinished ...>
20  getpid() = 1
1  <... clone resumed>, child_tidptr=0x7f) = 1 /* 20 in strace's PID NS */
20  clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0}, 88) = 2 /* 21 in strace's PID NS */
21  sched_yield() = 0
20  seccomp(SECCOMP_SET_MODE_STRICT, 0x1, NULL) = -1 EINVAL (Invalid argument)
20  seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, {len=5, filter=0x1}) = 0
21  futex(0x1, FUTEX_WAIT, 2 <unfinished ...>
20  execve(""..., 0x1, 0x2) = 0
20  mkdir(""..., 0777) = -1 EPERM (Operation not permitted)
20  chdir(""...) = -1 ENOENT (No such file or directory)
20  fork() = 3 /* 22 in strace's PID NS */
22  read(0, ""..., 5) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)
22  --- SIGTERM {si_signo=SIGTERM} ---
22  exit_group(0) = ?
1  write(1, ""..., 5) = 5
20  +++ exited with 0 +++
"""


def test_calls_count_from_the_filter_on() -> None:
    assert read_calls(LOG.splitlines()) == Traced({"futex", "execve", "chdir", "fork", "read", "exit_group"}, {"mkdir"})


def test_execve_in_a_thread_takes_the_id_of_the_process() -> None:
    log = """\
20  clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD) = 21
21  seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=5, filter=0x1}) = 0
21  execve(""..., 0x1, 0x2 <unfinished ...>
20  +++ superseded by execve in pid 21 +++
20  <... execve resumed>) = 0
20  brk(NULL) = 0x55
"""
    assert read_calls(log.splitlines()).made == {"execve", "brk"}
