# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings for tests of the generators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import (
    ContainerConfiguration,
    ContainerMount,
    RecorderEntry,
    Recording,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.sightings import (
    SeenAccess,
    SeenCall,
    SeenDeniedCall,
    Sighting,
    describe_access,
)

DAY = "2026-11-20"
SEEN = {"web1/abcd0123": Sighting(12, 2, DAY)}
# The calls of nginx, of its start by runc and of one exec.
NGINX = """
accept4 arch_prctl bind brk capget capset chdir clone close connect dup2 epoll_create epoll_ctl epoll_wait eventfd2 execve exit
exit_group fchown fcntl fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getpid getppid getrandom getsockname getsockopt
gettid getuid io_setup ioctl listen lseek mkdir mmap mprotect munmap newfstatat openat prctl pread64 prlimit64 pwrite64 read recvfrom
rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend sendfile sendmsg set_robust_list set_tid_address setgid setgroups
setsockopt setuid socket socketpair statx sysinfo umask uname unlink utimensat wait4 write writev
""".split()


def make_call(name: str, arguments: Iterable[int | None] = (), abis: Iterable[str] = ("x86_64",), seen: Any = None) -> SeenCall:
    return SeenCall(name=name, seen=seen or SEEN, abis=dict.fromkeys(abis, DAY), arguments=dict.fromkeys(arguments, DAY))


def make_denied(name: str, errno: int = 1) -> SeenDeniedCall:
    return SeenDeniedCall(name=name, seen=SEEN, abis={"x86_64": DAY}, errnos={errno: DAY})


def make_access(denied: bool = False, **access: Any) -> SeenAccess:
    return SeenAccess(access={key.rstrip("_"): value for key, value in access.items()}, denied=denied, first=DAY, seen=SEEN)


def make_configuration(**values: Any) -> ContainerConfiguration:
    default: dict[str, Any] = {
        "image": "nginx:1.27", "image_id": "sha256:" + "1" * 64, "user": "", "seccomp": "builtin", "apparmor": "docker-default",
        "userns": "host", "no_new_privileges": True, "read_only": False, "capabilities": ("cap_chown", "cap_setgid", "cap_setuid"),
        "networks": ("front",), "ports": ("8080:80/tcp",), "mounts": (ContainerMount("/srv", "bind", "/srv/www", True),),
    }  # fmt: skip
    return ContainerConfiguration(**{**default, **values})


def make_recording(
    calls: Iterable[SeenCall] = (), configuration: Mapping[str, Any] | None = None, access: Iterable[SeenAccess] = (), **values: Any
) -> Recording:
    recorder = RecorderEntry(
        "web1", "abcd0123", f"{DAY}T00:00:00Z", f"{DAY}T01:00:00Z", {}, {}, running=frozenset({"a"}), days=frozenset({DAY})
    )
    return Recording(
        **{
            "service": "shop-web",
            "recorders": {recorder.key: recorder},
            "configurations": {"a": make_configuration(**(configuration or {}))},
            "calls": {call.name: call for call in calls},
            "access": sorted(access, key=lambda each: describe_access(each.access, each.denied)),
            **values,
        }
    )


def make_nginx(**values: Any) -> Recording:
    arguments = {"socket": (1, 2, 10), "clone": (0,)}
    return make_recording([make_call(name, arguments.get(name, ())) for name in NGINX], **values)
