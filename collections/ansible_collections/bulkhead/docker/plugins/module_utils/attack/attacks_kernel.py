# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the kernel's surface: system calls that a service never needs, in a harmless form. Runs in a container.

Most use arguments that the kernel rejects after all permission checks: that error means that the attack succeeded.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

from .calls import Blocked, call, encode_text, preparation

CLONE_NEWUSER = 0x10000000
PTRACE_SEIZE = 0x4206
SCRATCH = "/dev/shm"  # a tmpfs that every container has


def trace_process() -> str:
    """Seize a process of the same container and release it."""
    victim = os.fork()
    if victim == 0:
        os.close(1)
        while True:
            os.read(preparation["never"], 1)
    try:
        call("ptrace", PTRACE_SEIZE, victim, 0, 0)
        return f"process {victim} is traced"
    finally:
        os.kill(victim, 9)
        os.waitpid(victim, 0)


def mount_tmpfs() -> str:
    call("mount", encode_text("tmpfs"), encode_text(SCRATCH), encode_text("tmpfs"), 0, encode_text("size=4k"))
    call("umount2", encode_text(SCRATCH), 2)
    return f"tmpfs was mounted on {SCRATCH}"


def new_mount_api() -> str:
    """A file system made by the newer calls, which filters for mount(2) alone miss; it is not attached."""
    context = call("fsopen", encode_text("tmpfs"), 0)
    call("fsconfig", context, 6, 0, 0, 0)  # FSCONFIG_CMD_CREATE
    call("fsmount", context, 0, 0)
    return "a detached tmpfs was made"


def unshare_user() -> str:
    call("unshare", CLONE_NEWUSER)
    with open("/proc/self/status") as status:
        held = next(line.split()[1] for line in status if line.startswith("CapEff"))
    return f"root in a user namespace of its own, CapEff {held}"


def kexec_load() -> str:
    """More segments than the kernel accepts (KEXEC_SEGMENT_MAX): EINVAL comes after the check of CAP_SYS_BOOT (kernel/kexec.c)."""
    call("kexec_load", 0, 1 << 20, 0, 0, reached=(errno.EINVAL,))
    return "the kernel would have loaded another kernel"


def init_module() -> str:
    """An image of no bytes: ENOEXEC comes after the check of CAP_SYS_MODULE (kernel/module/main.c)."""
    call("init_module", 0, 0, encode_text(""), reached=(errno.ENOEXEC, errno.EFAULT))
    return "the kernel would have loaded a module"


def swap_on() -> str:
    """No path: EFAULT comes after the check of CAP_SYS_ADMIN (mm/swapfile.c)."""
    call("swapon", 0, 0, reached=(errno.EFAULT,))
    return "the kernel would have used a swap file"


def set_clock() -> str:
    """A tick of zero: EINVAL comes after the check of CAP_SYS_TIME (kernel/time/timekeeping.c)."""
    timex = ctypes.create_string_buffer(struct.pack("I", 0x4000), 512)  # ADJ_TICK
    call("adjtimex", timex, reached=(errno.EINVAL,))
    return "the kernel would have set another tick"


def kernel_log() -> str:
    """The size of the kernel's log, which needs the same permission as reading it."""
    return f"the log has {call('syslog', 10, 0, 0)} bytes"


def bpf() -> str:
    """A map of one number, which ends with the process."""
    attributes = ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 4, 1), 128)  # BPF_MAP_TYPE_ARRAY
    call("bpf", 0, attributes, 128)
    return "a map was made"


def keyctl() -> str:
    return f"session keyring {call('keyctl', 0, -3, 0):#x}"


def perf_event_open() -> str:
    """A software counter of this process that counts in the kernel too."""
    attributes = ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 0), 112)  # PERF_TYPE_SOFTWARE, CPU_CLOCK
    call("perf_event_open", attributes, 0, -1, -1, 0)
    return "a counter was opened"


def io_uring() -> str:
    """Without parameters: EFAULT comes after the check (io_uring/io_uring.c)."""
    call("io_uring_setup", 1, 0, reached=(errno.EFAULT,))
    return "the kernel would have made a ring"


def userfaultfd() -> str:
    call("userfaultfd", 0)
    return "page faults of the kernel can be delayed"


def _socket(family: int, kind: int, protocol: int = 0) -> None:
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        raise Blocked("socket", error.errno) from error


def crypto_socket() -> str:
    _socket(38, socket.SOCK_SEQPACKET)  # AF_ALG
    return "the kernel's cryptography answers"


def hypervisor_socket() -> str:
    _socket(40, socket.SOCK_STREAM)  # AF_VSOCK
    return "a socket towards the hypervisor"


def raw_socket() -> str:
    _socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    return "packets can be forged"


def packet_socket() -> str:
    _socket(socket.AF_PACKET, socket.SOCK_RAW)
    return "packets of others can be read"
