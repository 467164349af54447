# SPDX-License-Identifier: GPL-3.0-or-later
"""The control groups of running containers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..host.cgroup import CGROUPFS
from ..host.root import Host
from .instance import ROOTFUL, Instance

_UNIT = re.compile(r"docker-([0-9a-f]{64})\.scope")
_FOLDER = re.compile(r"[0-9a-f]{64}")


def parse_scope_name(unit: str) -> str | None:
    """Return the full ID of the container whose scope this unit is; None for any other unit."""
    match = _UNIT.fullmatch(unit)
    return match[1] if match else None


def select_own_groups(cgroup_file: str, identifier: str) -> str:
    """Return the text of a /proc/PID/cgroup with paths cut after the container's own control groups, which the engine created.

    The container may create groups below them (systemd in a container does) with any limits, but none above, so the first one of its name is
    the engine's. A hierarchy without such a group is left out.
    """
    lines = []
    for line in cgroup_file.splitlines():
        names = line.split("/")
        own = next((at for at, name in enumerate(names) if identifier in (name, parse_scope_name(name))), None)
        if own is not None:
            lines.append("/".join(names[: own + 1]))
    return "\n".join(lines)


def list_container_cgroups(host: Host, instance: Instance = ROOTFUL) -> Iterator[tuple[str, str]]:
    """Yield full ID and control group path of each running container of an engine, with either cgroup driver.

    Those of a rootless engine are below its user's manager.
    """
    for folder, folders, unused in os.walk(host.path(instance.manager_cgroup if instance.rootless else CGROUPFS)):
        if not instance.rootless:
            folders[:] = [name for name in folders if not name.startswith("user@")]
        for name in list(folders):
            identifier = parse_scope_name(name) or (name if os.path.basename(folder) == "docker" and _FOLDER.fullmatch(name) else None)
            if identifier:
                folders.remove(name)  # groups below are the container's own
                yield identifier, f"{folder}/{name}".removeprefix(str(host.root).rstrip("/"))


def list_container_ids(host: Host, instance: Instance = ROOTFUL) -> list[str]:
    """Return the full IDs of the running containers of an engine."""
    return [identifier for identifier, _path in list_container_cgroups(host, instance)]
