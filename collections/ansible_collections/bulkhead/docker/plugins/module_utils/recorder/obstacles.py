# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds why a host cannot run the eBPF programs of the recorder and of the denial counters."""

from __future__ import annotations

import os
import re
import sys

from ..host import cgroup
from ..host.root import Host
from . import layout
from .btf import VMLINUX

_BPFFS = "/sys/fs/bpf"
_LOCKDOWN = "/sys/kernel/security/lockdown"
_OLDEST_KERNEL = (5, 15)  # helper bpf_task_pt_regs


def find_obstacle(host: Host) -> str:
    """Return why this host cannot record calls, and what to do; empty if it can. Nothing is changed."""
    machine, release = os.uname().machine, os.uname().release
    if machine not in layout.MACHINES:
        return f"calls cannot be recorded on {machine}; use a host with {' or '.join(layout.MACHINES)}"
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
