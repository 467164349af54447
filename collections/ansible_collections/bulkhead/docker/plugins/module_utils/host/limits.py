# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory, swap and CPU limits of control groups (Linux Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

from typing import Any

from .cgroup import CGROUPFS
from .root import Host


def read_limits(host: Host, cgroup_file: str) -> dict[str, Any]:
    """Return memory, swap and CPU limits of a process's control group (v2), from the text of its /proc/PID/cgroup: file name → `max`.

    max: bytes, or a number of CPUs; None for no limit. Missing files are left out. folder: path of the control group.
    """
    line = next((line for line in cgroup_file.splitlines() if line.startswith("0::")), None)
    if line is None:
        return {}
    folder = f"{CGROUPFS}{line[3:]}"
    found: dict[str, Any] = {"folder": folder}
    for name in ("memory.max", "memory.swap.max", "cpu.max"):
        words = (host.read(f"{folder}/{name}") or "").split()
        if not words:
            continue
        limit = None if words[0] == "max" else int(words[0])
        if limit is not None and name == "cpu.max":
            found[name] = {"max": round(limit / int(words[1]), 3)}  # quota and period in microseconds
        else:
            found[name] = {"max": limit}
    return found
