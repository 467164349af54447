# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the host: its secrets, knobs, devices and processes, and on the container's own room (runs in a container).

What is opened is neither read nor written, save for the stand-ins that the module made for it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import stat
from contextlib import suppress

from .attacks_kernel import SCRATCH
from .calls import Blocked, NotPrepared, call, ground, opened, text

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT = 1, 32
NOBODY = 65534


def host_shadow() -> str:
    opened(f"{ground['proc']}/1/root/etc/shadow", os.O_RDONLY)
    return "the host's password hashes are open"


def host_memory() -> str:
    """A stand-in secret in the memory of the module's own process on the host."""
    handle = opened(f"{ground['proc']}/{ground['victim']}/mem", os.O_RDONLY)
    try:
        read = os.pread(handle, len(ground["secret"]), ground["address"])
    except OSError as error:
        raise Blocked("read memory", error.errno) from error
    return _secret(read)


def file_handle() -> str:
    """A stand-in secret on the host's file system, opened by its handle, past every folder above it ("shocker")."""
    if not ground.get("handle"):
        raise NotPrepared("the host's file system gives no file handles")
    handle = bytes.fromhex(ground["handle"])
    folder = opened(ground["folder"], os.O_RDONLY)
    file = call("open_by_handle_at", folder, ctypes.create_string_buffer(handle, len(handle)), os.O_RDONLY)
    return _secret(os.read(file, len(ground["secret"])))


def _secret(read: bytes) -> str:
    if read.decode("ascii", "replace") != ground["secret"]:
        raise Blocked("the secret is another", None)
    return "the stand-in secret was read"


def kernel_memory() -> str:
    if os.fstat(opened("/proc/kcore", os.O_RDONLY)).st_rdev == os.makedev(1, 3):
        raise Blocked("what is open is /dev/null", None)  # so engines mask a file (runc libcontainer/rootfs_linux.go: maskPath)
    return "the kernel's memory is open"


def sysrq_trigger() -> str:
    opened("/proc/sysrq-trigger", os.O_WRONLY)
    return "one letter would reboot the host"


def core_pattern() -> str:
    opened("/proc/sys/kernel/core_pattern", os.O_WRONLY)
    return "the next crash would run a program on the host"


def host_core_pattern() -> str:
    opened(f"{ground['proc']}/sys/kernel/core_pattern", os.O_WRONLY)
    return "the next crash would run a program on the host"


def sysfs_knob() -> str:
    call("mount", text("sysfs"), text("/sys"), text("sysfs"), MS_REMOUNT, 0, step="remount /sys")
    try:
        os.close(opened("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY))  # open, it could not be made read-only again
    finally:
        call("mount", text("sysfs"), text("/sys"), text("sysfs"), MS_REMOUNT | MS_RDONLY, 0)
    return "a setting of the host's memory is open to write"


def release_agent() -> str:
    """A hierarchy without controllers (cgroup v1); it goes when it is unmounted."""
    call("mount", text("none"), text(SCRATCH), text("cgroup"), 0, text(f"none,name={ground['name']}"))
    try:
        opened(f"{SCRATCH}/release_agent", os.O_WRONLY)
    finally:
        call("umount2", text(SCRATCH), 2)
    return "the end of a cgroup would run a program on the host"


def install_tool() -> str:
    path = f"/usr/bin/{ground['name']}"
    handle = opened(path, os.O_WRONLY | os.O_CREAT, step="write to /usr/bin")
    try:
        os.fchmod(handle, 0o755)
    except OSError as error:
        raise Blocked("chmod", error.errno) from error
    finally:
        os.unlink(path)
    return "a program was put into /usr/bin"


def host_disk() -> str:
    """The disk of the host's root file system, by a device node made here; opened for reading, and not read."""
    path = f"/dev/{ground['name']}"  # of all writable places the one that allows devices
    call("mknodat", -100, text(path), stat.S_IFBLK | 0o600, os.makedev(*ground["disk"]), step="mknod")
    try:
        opened(path, os.O_RDONLY | os.O_NONBLOCK, step="open the device")
    finally:
        os.unlink(path)
    return "the host's disk is open, all files in it"


def engine_socket() -> str:
    """A socket with the owner and mode of the engine's own; behind it the module listens, and no engine."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    try:
        connection.connect(ground["socket"])
    except OSError as error:
        raise Blocked("connect", error.errno) from error
    return "whoever is behind it would start any container"


def enter_host() -> str:
    """What nsenter does: the mount namespace of the host's first process."""
    handle = opened(f"{ground['proc']}/1/ns/mnt", os.O_RDONLY)
    call("setns", handle, CLONE_NEWNS)
    return "this process sees the host's files"


def signal_host() -> str:
    """The file by which the cgroup of the module's own process on the host could be killed; nothing is written to it."""
    call("mount", text("cgroup2"), text(SCRATCH), text("cgroup2"), 0, 0)
    try:
        opened(f"{SCRATCH}{ground['cgroup']}/cgroup.kill", os.O_WRONLY, step="open cgroup.kill")
    finally:
        call("umount2", text(SCRATCH), 2)
    return "the host's processes can be ended"


def setuid_program() -> str:
    """As nobody, run a program that has the setuid bit and belongs to root as this container sees it."""
    program = next((path for path in ground["setuid"] if os.path.exists(path) and os.stat(path).st_uid == 0), None)
    if program is None:
        raise NotPrepared("no setuid program belongs to root here")
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError as error:
            raise NotPrepared(f"root can't become nobody here ({error.strerror})") from error
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        with suppress(OSError):
            os.execv(program, [program, "-u"])
        os._exit(126)
    os.close(writer)
    with os.fdopen(reader) as answer:
        told = answer.read().strip()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise Blocked("exec", errno.EACCES if code == 126 else None)
    if told != "0":
        raise Blocked(f"it runs as {told}", None)
    return "it runs as root"


def fork_bomb() -> str:
    """As many tasks as the module allows (bounded by the container's cgroup and memory as well), and then none."""
    children: list[int] = []
    try:
        while len(children) < ground["tasks"]:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except OSError as error:
        raise Blocked(f"fork {len(children) + 1}", error.errno) from error
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return f"{len(children)} processes at once"
