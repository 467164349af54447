# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan and the judge of this layer share: names, and how this host can set the limit. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.instance import SCOPE_DROP_IN
from ...engine.program import PIDS_KEY
from ..registry import SWITCHES

LAYER = __package__.rpartition(".")[2]
SWITCH = SWITCHES[LAYER]
DROP_IN = SCOPE_DROP_IN.partition("/")[2]


def is_key_supported(observed: Mapping[str, Any]) -> bool:
    """Return whether this engine accepts `default-pids-limit` in daemon.json."""
    return bool((observed.get("dockerd") or {}).get("knows", {}).get(PIDS_KEY))


def explain_obstacle(observed: Mapping[str, Any]) -> str:
    """Return why a systemd drop-in cannot set the limit on this host; empty if it can."""
    engine, system = observed["engine"], observed["system"]
    if not system.get("systemd"):
        return "the default PIDs limit needs systemd, which does not run on this host"
    if (engine.get("cgroup_version") or system.get("cgroup_version")) != 2:
        return "the default PIDs limit needs cgroup v2, and this host has v1"
    driver = engine.get("cgroup_driver")
    if driver not in (None, "systemd"):  # None: the engine is stopped, and reports nothing
        return (
            f"the default PIDs limit needs the engine's cgroup driver systemd, and it is {driver}; set docker_daemon_options:"
            f' {{"exec-opts": ["native.cgroupdriver=systemd"]}}'
        )
    return ""


def find_lowest_limit(pids: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `source` and `max` of the group whose limit is in effect: the lowest of the container's own group and of those above it.

    A task that an ancestor's limit prevents does not start (Linux Documentation/admin-guide/cgroup-v2.rst, PID). If limits are equal, the own group.
    """
    limited = [group for group in (pids, *(pids.get("ancestors") or ())) if group.get("max") is not None]
    return min(limited, key=lambda group: group["max"]) if limited else pids
