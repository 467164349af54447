# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a control group reached its limits (Linux Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1/memory.rst)."""

from __future__ import annotations

from typing import Any

from .cgroup import CGROUPFS
from .root import Host


def read_events(host: Host, folder: str, groups: str) -> dict[str, dict[str, Any]]:
    """Return `source` and counters of `pids` and `memory`, since the group was made; without those that the kernel does not count.

    pids: `max`, and since Linux 6.11 `local`. Until then `max` counts the failed forks of tasks of this group, because of its limit or of one
    above. Since then it counts how often the limit of this group or of one below was reached, and `local` only its own
    (kernel/cgroup/pids.c: pids_event). memory: `oom_kill`, on cgroup v2 also `oom`; groups below are included.
    folder: that of the PIDs limit. groups: the container's own groups, as /proc/PID/cgroup has them.
    """
    found: dict[str, dict[str, Any]] = {}
    counted = _read_counters(host, f"{folder}/pids.events")
    if "max" in counted:
        found["pids"] = {"source": f"{folder}/pids.events", "max": counted["max"]}
        local = _read_counters(host, f"{folder}/pids.events.local")
        if "max" in local:
            found["pids"]["local"] = local["max"]
    for line in groups.splitlines():
        unused, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            source = f"{CGROUPFS}{path}/memory.events" if controllers == "" else f"{CGROUPFS}/memory{path}/memory.oom_control"
            counted = _read_counters(host, source)
            if "oom_kill" in counted:
                found["memory"] = {"source": source, **{key: counted[key] for key in ("oom", "oom_kill") if key in counted}}
    return found


def _read_counters(host: Host, path: str) -> dict[str, int]:
    """Return the counters of a file with lines of a name and a number; empty without the file."""
    try:
        pairs = (line.split() for line in (host.read(path) or "").splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
    except OSError:  # the group was removed meanwhile
        return {}
