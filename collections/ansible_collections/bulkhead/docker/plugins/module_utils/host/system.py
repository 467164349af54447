# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes the machine: kernel, LSMs, init, distribution."""

from __future__ import annotations

import os
import shlex
from typing import Any

from . import cgroup
from .root import Host


def observe_system(host: Host) -> dict[str, Any]:
    """Return the facts on the machine, without running a command.

    systemd: whether it is the running init (man 3 sd_booted). apparmor: whether the kernel enforces it. lsm: the active modules in order.
    """
    uname = os.uname()
    release = _parse_os_release(host.read("/etc/os-release") or "")
    enabled = (host.read("/sys/module/apparmor/parameters/enabled") or "").strip()
    return {
        "kernel": uname.release,
        "machine": uname.machine,
        "hostname": uname.nodename,
        "distribution": release.get("ID", "unknown"),
        "distribution_name": release.get("PRETTY_NAME", "unknown"),
        "systemd": host.path("/run/systemd/system").is_dir(),
        "cgroup_version": cgroup.detect_version(host),
        "apparmor": enabled == "Y",
        "lsm": [name for name in (host.read("/sys/kernel/security/lsm") or "").strip().split(",") if name],
        "namespaces": {
            name: host.read_link(f"/proc/1/ns/{name}") for name in ("user", "pid", "net", "ipc", "uts", "cgroup", "mnt", "time")
        },
    }


def read_boot_time(host: Host) -> float:
    """Return when the kernel started, in seconds since the epoch by the present clock (man 5 proc_stat: btime)."""
    for line in (host.read("/proc/stat") or "").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise ValueError("/proc/stat has no btime")


def read_start_time(host: Host, pid: int) -> float | None:
    """Return when a process started, in seconds since the epoch; None when it has ended (man 5 proc_pid_stat: starttime, field 22)."""
    ticks = find_start_ticks(host, pid)
    return None if ticks is None else read_boot_time(host) + ticks / os.sysconf("SC_CLK_TCK")


def find_start_ticks(host: Host, pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when it has ended."""
    stat = host.read(f"/proc/{pid}/stat")
    return int(stat.rsplit(")", 1)[1].split()[19]) if stat else None


def _parse_os_release(text: str) -> dict[str, str]:
    values = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            try:
                values[key.strip()] = " ".join(shlex.split(value))
            except ValueError:  # an unclosed quote; the name is only shown
                values[key.strip()] = value.strip()
    return values
