# SPDX-License-Identifier: GPL-3.0-or-later
"""Arms and disarms the recorder of calls: eBPF programs that stay in the kernel under pins, without a process of their own."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from ..host import cgroup
from ..host.root import Host
from . import bpf, programs, selftest
from .btf import VMLINUX, Btf, BtfError
from .pins import PINS, RecorderError, find_folder

_BPFFS = "/sys/fs/bpf"
_LOCKDOWN = "/sys/kernel/security/lockdown"
_OLDEST_KERNEL = (5, 11)  # helper bpf_get_current_task_btf for programs of this type


def find_obstacle(host: Host) -> str:
    """Return why this host cannot record calls, and what to do; empty if it can. Nothing is changed."""
    machine, release = os.uname().machine, os.uname().release
    if machine not in programs.MACHINES:
        return f"calls cannot be recorded on {machine}; use a host with {' or '.join(programs.MACHINES)}"
    if sys.maxsize < 1 << 32:
        return f"calls cannot be recorded by the 32-bit {sys.executable}; set ansible_python_interpreter to a 64-bit Python"
    found = re.match(r"(\d+)\.(\d+)", release)
    if found and (int(found[1]), int(found[2])) < _OLDEST_KERNEL:
        return f"kernel {release} cannot record calls; install Linux {'.'.join(map(str, _OLDEST_KERNEL))} or later"
    if cgroup.detect_version(host) != 2:
        return "calls are recorded by cgroup v2, and this host does not use it; boot with systemd.unified_cgroup_hierarchy=1"
    if not host.path(VMLINUX).exists():
        return f"the kernel does not describe its types: {VMLINUX} does not exist; use a kernel with CONFIG_DEBUG_INFO_BTF"
    if not _is_bpffs_mounted(host):
        return f"no BPF file system is mounted at {_BPFFS}; run: mount -t bpf bpf {_BPFFS}"
    if "[confidentiality]" in (host.read(_LOCKDOWN) or ""):
        return f"{_LOCKDOWN} is 'confidentiality', so the kernel lets no program read its memory; boot with lockdown=integrity"
    return ""


def _is_bpffs_mounted(host: Host) -> bool:
    mounts = (line.split(" ") for line in (host.read("/proc/self/mounts") or "").splitlines())
    return any(fields[1:3] == [_BPFFS, "bpf"] for fields in mounts)


def is_armed() -> bool:
    """Return whether every program of this version is attached and every map is pinned."""
    folder = find_folder()
    return all(os.path.exists(f"{folder}/{name}") for name in list_pins())


def arm(calls: int = programs.CALL_ENTRIES) -> None:
    """Load, attach, pin and test the recorder; pins of the same version stay as they are, others are removed. Raises RecorderError.

    calls: number of different calls of all containers that fit into the kernel's map.
    """
    obstacle = find_obstacle(Host())
    if obstacle:
        raise RecorderError(obstacle)
    if is_armed():
        return
    disarm()
    try:
        offsets = programs.find_offsets(Btf(Path(VMLINUX).read_bytes()), os.uname().machine)
    except (OSError, BtfError) as error:
        raise RecorderError(f"{VMLINUX}: {error}; calls cannot be recorded with kernel {os.uname().release}") from error
    try:
        _load(offsets, calls)
        fault = selftest.find_fault()
    except OSError as error:
        _remove_pins()
        raise RecorderError(_explain(error)) from error
    if fault:
        _remove_pins()
        raise RecorderError(
            f"the recorder was loaded, but its test failed: {fault}; report this with the kernel's release {os.uname().release}"
        )


def disarm() -> None:
    """Remove every pin; without them the kernel detaches the programs and frees the maps. Raises RecorderError."""
    try:
        _remove_pins()
    except OSError as error:
        raise RecorderError(f"{PINS}: {error.strerror}; remove this folder as root") from error


def list_pins() -> list[str]:
    """Return the names of the pins of an armed recorder."""
    return [*programs.list_maps(), *(f"{kind}_{name}" for name in programs.TRACEPOINTS for kind in ("program", "link"))]


def _remove_pins() -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(PINS)
    with suppress(OSError):  # does not exist, or has other pins
        os.rmdir(os.path.dirname(PINS))


def _load(offsets: programs.Offsets, calls: int) -> None:
    """Create, load, attach and pin everything. Raises OSError."""
    folder = find_folder()
    os.makedirs(folder, mode=0o700)
    opened: list[int] = []

    def keep(descriptor: int, name: str) -> int:
        opened.append(descriptor)
        bpf.pin(descriptor, f"{folder}/{name}")
        return descriptor

    try:
        maps = {}
        for name, data in programs.list_maps(calls).items():
            maps[name] = keep(bpf.create_map(data.kind, data.key_size, data.value_size, data.entries, f"bulkhead_{name}"), name)
        tracepoints = dict(offsets.tracepoints)
        loaded = {}
        for name, program in programs.build_programs(offsets, os.uname().machine).items():
            code = program.assemble(maps)
            loaded[name] = keep(bpf.load_program(code, name, tracepoints[name]), f"program_{name}")
        # sys_exit before sys_enter: a call that was entered before is then known as such.
        for name in reversed(programs.TRACEPOINTS):
            keep(bpf.attach_program(loaded[name]), f"link_{name}")
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _explain(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.ENOSYS):
        return (
            f"the kernel does not let this process load BPF programs ({error.strerror}); run as root on the host itself, not in a container"
        )
    return f"kernel {os.uname().release} does not accept the recorder's programs: {error.strerror}; report this with the kernel's release"
