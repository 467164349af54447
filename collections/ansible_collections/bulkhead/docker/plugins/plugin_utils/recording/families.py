# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls that replace each other: siblings, and newer calls without which a C library continues."""

from __future__ import annotations

from collections.abc import Collection

# The ABIs of programs of 32 bits.
NARROW_ABIS = frozenset({"i386", "arm"})

# One program makes one or the other, depending on its C library: musl makes older calls where glibc makes newer ones.
# On x86-64, a C library that makes the older calls of the groups below opens files by this one (musl 1.2; glibc before 2.26).
OLDER = "open"
_EQUAL = """
open openat
stat lstat newfstatat statx
fork vfork clone
poll ppoll
epoll_wait epoll_pwait
select pselect6
"""
# Call that only x86-64 has: call that all machines have and that replaces it (include/uapi/asm-generic/unistd.h).
_PORTABLE = """
open: openat
stat: newfstatat
lstat: newfstatat
fork: clone
vfork: clone
poll: ppoll
epoll_wait: epoll_pwait
select: pselect6
access: faccessat
epoll_create: epoll_create1
pipe: pipe2
dup2: dup3
eventfd: eventfd2
signalfd: signalfd4
inotify_init: inotify_init1
getdents: getdents64
mkdir: mkdirat
mknod: mknodat
rmdir: unlinkat
unlink: unlinkat
rename: renameat
link: linkat
symlink: symlinkat
readlink: readlinkat
chmod: fchmodat
chown: fchownat
lchown: fchownat
creat: openat
utime: utimensat
utimes: utimensat
futimesat: utimensat
getrlimit: prlimit64
setrlimit: prlimit64
alarm: setitimer
getpgrp: getpgid
pause: ppoll
time: clock_gettime
"""
# What programs of 32 bits make, with times of 64 bits or not, and with IDs of 32 bits or not.
_NARROW = """
ppoll ppoll_time64
select _newselect pselect6 pselect6_time64
recvmmsg recvmmsg_time64
utimensat utimensat_time64
futex futex_time64
nanosleep clock_nanosleep clock_nanosleep_time64
clock_gettime clock_gettime64
clock_getres clock_getres_time64
clock_settime clock_settime64
clock_adjtime clock_adjtime64
timer_gettime timer_gettime64
timer_settime timer_settime64
timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64
rt_sigtimedwait rt_sigtimedwait_time64
sched_rr_get_interval sched_rr_get_interval_time64
semtimedop semtimedop_time64
mq_timedsend mq_timedsend_time64
mq_timedreceive mq_timedreceive_time64
io_pgetevents io_pgetevents_time64
stat64 lstat64 fstatat64 statx
fstat fstat64
chown32 lchown32 fchownat
sendfile sendfile64
fcntl fcntl64
statfs statfs64
fstatfs fstatfs64
getrlimit ugetrlimit prlimit64
waitpid wait4
send sendto
recv recvfrom
"""
_GROUPS = {
    kind: tuple(frozenset(line.split()) for line in text.strip().splitlines()) for kind, text in (("equal", _EQUAL), ("narrow", _NARROW))
}
_REPLACEMENTS = dict(line.split(": ") for line in _PORTABLE.strip().splitlines())

# Newer than Linux 3.14, so programs that run on older kernels too expect ENOSYS, "the kernel lacks this call", and use another. EPERM ends
# them (moby 42680: clone3 of glibc 2.34; runc 4984: openat2; gerbera 2485: *_time64 of musl).
_WITH_FALLBACK = """
renameat2 sched_setattr sched_getattr getrandom memfd_create execveat membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect
pkey_alloc pkey_free statx io_pgetevents rseq pidfd_send_signal io_uring_setup io_uring_enter io_uring_register pidfd_open clone3
close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 landlock_create_ruleset landlock_add_rule
landlock_restrict_self memfd_secret process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake
futex_wait futex_requeue statmount listmount mseal setxattrat getxattrat listxattrat removexattrat file_getattr file_setattr
clock_gettime64 clock_settime64 clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64 timer_settime64
timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64 io_pgetevents_time64 recvmmsg_time64
mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64 rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64
"""
WITH_FALLBACK = frozenset(_WITH_FALLBACK.split())


def list_siblings(name: str, abis: Collection[str], older: bool = True) -> dict[str, str]:
    """Return the calls that replace a call in another C library or on another machine -> the only machine that needs them, or nothing.

    abis: of the recorded programs. older: whether one of their C libraries makes older calls. The machine is as `includes` of a profile names it.
    """
    found = dict.fromkeys(_list_group("equal", name), "") if older else {}
    if name in _REPLACEMENTS:
        found.setdefault(_REPLACEMENTS[name], "" if "aarch64" in abis else "arm64")
    if "x86_64" not in abis:
        found |= dict.fromkeys((old for old, new in _REPLACEMENTS.items() if new == name), "")
    if NARROW_ABIS & set(abis):
        found |= dict.fromkeys(_list_group("narrow", name), "")
    return {sibling: machine for sibling, machine in found.items() if sibling != name}


def _list_group(kind: str, name: str) -> frozenset[str]:
    return frozenset().union(*(group for group in _GROUPS[kind] if name in group))
