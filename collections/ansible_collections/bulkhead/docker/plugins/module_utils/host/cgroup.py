# SPDX-License-Identifier: GPL-3.0-or-later
"""Control groups of processes and their limits (Linux Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from .root import Host

CGROUPFS = "/sys/fs/cgroup"
_NAME = re.compile(r"(?:(.*)[-:])?([0-9a-f]{64})(?:\.scope)?")


def parse_container_group(name: str, parent: str = "") -> tuple[str, str] | None:
    """Return ID and engine of the container with a group of this name. parent: name of the group above.

    docker/ID, docker-ID.scope (systemd), PARENT:docker:ID (a runtime without systemd). The engine is empty for an ID below another parent.
    """
    match = _NAME.fullmatch(name)
    return (match[2], match[1].rpartition(":")[2] if match[1] else "docker" if parent == "docker" else "") if match else None


def find_container_group(cgroup_file: str) -> tuple[str, str] | None:
    """Return ID and engine of a process's container, from its /proc/PID/cgroup. The outermost one decides; a container can name those below."""
    names = (pair for line in cgroup_file.splitlines() for pair in pairwise(line.split("/")))
    return next((found for parent, name in names if (found := parse_container_group(name, parent))), None)


def detect_version(host: Host) -> int | None:
    """Return 2 for the unified hierarchy, 1 for the legacy one, None without a mounted cgroup file system."""
    if host.path(f"{CGROUPFS}/cgroup.controllers").exists():
        return 2
    return 1 if host.path(f"{CGROUPFS}/pids").is_dir() else None


def find_pids_folder(cgroup_file: str) -> str | None:
    """Return the folder with a process's pids.*, from the text of its /proc/PID/cgroup (man 7 cgroups): v2 `0::/x`, v1 `7:pids:/x`."""
    unified = None
    for line in cgroup_file.splitlines():
        unused, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(","):
            return f"{CGROUPFS}/pids{path}"
        if controllers == "":
            unified = f"{CGROUPFS}{path}"
    return unified


def read_pids(host: Host, folder: str) -> dict[str, Any]:
    """Return `max`, `current`, `peak` of a cgroup in tasks; None for no limit and for a missing file (pids.peak is of Linux 6.1 and later).

    ancestors: the limits of the cgroups above.

    Raises OSError when pids.max cannot be read, so that an error is not taken for no limit.
    """
    limit = host.path(f"{folder}/pids.max").read_text().strip()
    result: dict[str, Any] = {"source": f"{folder}/pids.max", "max": None if limit == "max" else int(limit)}
    for name in ("current", "peak"):
        text = host.read(f"{folder}/pids.{name}")
        result[name] = int(text) if text else None
    result["ancestors"] = _list_ancestor_limits(host, folder)
    return result


def _list_ancestor_limits(host: Host, folder: str) -> list[dict[str, Any]]:
    """Return `source` and `max` of each limit above a cgroup, which also applies to it."""
    found = []
    while folder.count("/") > CGROUPFS.count("/") + 1:
        folder = folder.rpartition("/")[0]
        limit = (host.read(f"{folder}/pids.max") or "").strip()
        if limit.isdigit():
            found.append({"source": f"{folder}/pids.max", "max": int(limit)})
    return found
