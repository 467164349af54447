# SPDX-License-Identifier: GPL-3.0-or-later
"""Building blocks of profiles: the calls that a kind of work needs.

A block has names of allowed calls, and rules for calls that depend on arguments. An architecture ignores names that it lacks.
The block `runc` was measured: strace of runc 1.1.5, 1.1.15 and 1.3.6, from the loading of the filter to the program's exec, for start and
exec, with and without no-new-privileges; the rest is what Go's runtime may do in between (thread, heap, preemption, but not profiling, which runc
never switches on).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h): a new namespace gives access to kernel
# code that containers rarely need. CLONE_NEWTIME is not a flag of clone().
NAMESPACE_FLAGS = 0x7E020000
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
ENOSYS = 38


def _equal(name: str, index: int, *values: int) -> list[dict[str, Any]]:
    """Return rules that allow a call for these values of one argument.

    This is a list of allowed values because the kernel reads 32 bits of most arguments and a filter 64: setting a high bit evades "anything
    but X".
    """
    return [
        {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [{"index": index, "value": value, "op": "SCMP_CMP_EQ"}]} for value in values
    ]


def _with(capability: str, *names: str) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", "includes": {"caps": [capability]}}


_CLONE: list[dict[str, Any]] = [
    {
        "names": ["clone"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        "comment": "processes and threads, but no new namespaces",
    },
    {
        "names": ["clone3"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": ENOSYS,
        "comment": "its flags are in memory, which a filter cannot read; on ENOSYS a C library uses clone instead",
    },
]
_CLIENT = """
    connect getpeername getsockname getsockopt recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto setsockopt shutdown
"""
_SOCKETS = [*_equal("socket", 0, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK), *_equal("socketpair", 0, AF_UNIX)]


@dataclass(frozen=True)
class Block:
    """about: one line of description. names: separated by blanks. rules: entries of a profile's `syscalls`."""

    about: str
    names: str = ""
    rules: list[dict[str, Any]] = field(default_factory=list)


BLOCKS: dict[str, Block] = {
    "runc": Block(
        "What runc needs, once the filter is loaded, to start a container and to exec in a running one",
        """
        brk capget capset chdir close close_range epoll_create1 epoll_ctl epoll_pwait eventfd2 execve execveat exit exit_group
        faccessat faccessat2 fchown fcntl fstat fstatfs futex getcwd getdents64 getpid getppid getrandom gettid gettimeofday getuid
        kill lseek madvise mmap mprotect munmap nanosleep newfstatat openat openat2 pipe2 prctl prlimit64 pselect6 read
        readlinkat rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield setgid setgroups setresgid setresuid setuid
        sigaltstack statfs statx tgkill umask uname write
        """,
        _CLONE,
    ),
    "libc": Block(
        "What any program of glibc or musl does: memory, signals, clocks, identity, limits",
        """
        arch_prctl brk capget clock_getres clock_gettime clock_nanosleep exit exit_group futex futex_requeue futex_wait futex_waitv
        futex_wake get_robust_list getcpu getegid geteuid getgid getgroups getpid getppid getrandom getresgid getresuid getrlimit
        getrusage gettid gettimeofday getuid madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap mprotect mremap
        mseal msync munlock munlockall munmap nanosleep pause pkey_alloc pkey_free pkey_mprotect prctl prlimit64 restart_syscall
        riscv_hwprobe rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
        rt_tgsigqueueinfo sched_getaffinity sched_yield set_robust_list set_tid_address setrlimit sigaltstack sysinfo time times umask
        uname uretprobe
        """,
        _equal("personality", 0, 0, 0x0008, 0xFFFFFFFF),
    ),
    "filesystem": Block(
        "Reading, writing, making, renaming and removing files and folders",
        """
        access cachestat chdir chmod close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
        fchdir fchmod fchmodat fchmodat2 fcntl fdatasync fgetxattr flistxattr flock fstat fstatfs fsync ftruncate futimesat getcwd
        getdents getdents64 getxattr getxattrat ioctl lgetxattr link linkat listxattr listxattrat llistxattr lseek lstat mkdir mkdirat
        newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
        rename renameat renameat2 rmdir sendfile splice stat statfs statx symlink symlinkat sync_file_range tee truncate unlink
        unlinkat utime utimensat utimes write writev
        """,
    ),
    "file-attributes": Block(
        "Owners, extended attributes, FIFOs and device nodes, syncing whole file systems",
        """
        chown fchown fchownat fremovexattr fsetxattr lchown lremovexattr lsetxattr mknod mknodat removexattr removexattrat setxattr
        setxattrat sync syncfs
        """,
    ),
    "process": Block(
        "Starting programs and threads, waiting for them, signalling them, sessions and groups",
        """
        execve execveat fork getpgid getpgrp getpriority getsid kill pidfd_open pidfd_send_signal process_mrelease setpgid setpriority
        setsid tgkill tkill vfork wait4 waitid
        """,
        _CLONE,
    ),
    "worker": Block(
        "Worker threads and processes that choose their CPU, scheduling class and I/O priority",
        """
        ioprio_get ioprio_set sched_get_priority_max sched_get_priority_min sched_getattr sched_getparam sched_getscheduler
        sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
        """,
    ),
    "event-loop": Block(
        "Waiting for many things at once: poll, select, epoll, pipes, eventfd, signalfd, inotify",
        """
        epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 inotify_add_watch inotify_init
        inotify_init1 inotify_rm_watch pipe pipe2 poll ppoll pselect6 select signalfd signalfd4
        """,
    ),
    "timers": Block(
        "Interval timers, POSIX timers and timerfd",
        """
        alarm getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
        timerfd_gettime timerfd_settime
        """,
    ),
    "network-client": Block(
        "Connecting over TCP, UDP and Unix sockets, resolving names; other socket families are denied", _CLIENT, _SOCKETS
    ),
    "network-service": Block("The same, and listening for connections", f"{_CLIENT} accept accept4 bind listen", _SOCKETS),
    "ipc": Block(
        "System V and POSIX queues, semaphores and shared memory, memory files",
        """
        memfd_create mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
        semop semtimedop shmat shmctl shmdt shmget
        """,
    ),
    "async-io": Block(
        "The kernel's older asynchronous I/O (databases, nginx with `aio on`); never io_uring",
        "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
    ),
    "user-switch": Block(
        "Images that start as root and drop privileges themselves: user, groups, capabilities, ownership",
        """
        capset chown fchown fchownat lchown setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid
        """,
    ),
    "self-restriction": Block(
        "Programs that confine themselves: seccomp filters and Landlock",
        "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    ),
    "added-capabilities": Block(
        "Where a container was given the capability: chroot, setting clocks, NUMA policy, the kernel's log, terminals",
        "",
        [
            _with("CAP_SYS_CHROOT", "chroot"),
            _with("CAP_SYS_TIME", "adjtimex", "clock_adjtime", "clock_settime", "settimeofday"),
            _with("CAP_SYS_NICE", "get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"),
            _with("CAP_SYSLOG", "syslog"),
            _with("CAP_SYS_TTY_CONFIG", "vhangup"),
        ],
    ),
    "debugging": Block(
        "Tracing processes of the same container (strace, gdb); not for production",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    "abi32": Block(
        "Names that only 32-bit programs use; goes with SCMP_ARCH_X86 or SCMP_ARCH_ARM among the architectures",
        """
        _llseek _newselect arm_fadvise64_64 arm_sync_file_range cacheflush chown32 clock_getres_time64 clock_gettime64
        clock_nanosleep_time64 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64 fstatfs64 ftruncate64 futex_time64 get_thread_area
        getegid32 geteuid32 getgid32 getgroups32 getresgid32 getresuid32 getuid32 io_pgetevents_time64 lchown32 lstat64 mmap2
        mq_timedreceive_time64 mq_timedsend_time64 ppoll_time64 pselect6_time64 recv recvmmsg_time64 rt_sigtimedwait_time64
        sched_rr_get_interval_time64 semtimedop_time64 send sendfile64 set_thread_area set_tls setfsgid32 setfsuid32 setgid32
        setgroups32 setregid32 setresgid32 setresuid32 setreuid32 setuid32 sigaction sigprocmask sigreturn sigsuspend stat64 statfs64
        sync_file_range2 timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit utimensat_time64
        waitpid
        """,
    ),
}

# What a profile can extend, and the ready profiles do: `bulkhead-default` is `general`, `bulkhead-web` is `web`. Both allow less than
# the engine's default (moby profiles, July 2026) and nothing else.
PRESETS: dict[str, tuple[str, ...]] = {
    "general": (
        "runc", "libc", "filesystem", "file-attributes", "process", "worker", "event-loop", "timers", "network-service", "ipc", "async-io",
        "user-switch", "self-restriction", "added-capabilities",
    ),
    "web": ("runc", "libc", "filesystem", "process", "worker", "event-loop", "timers", "network-service", "user-switch"),
}  # fmt: skip
