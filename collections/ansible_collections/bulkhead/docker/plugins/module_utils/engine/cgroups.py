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
    """Full ID of the container whose processes systemd keeps in this unit; None for any other unit."""
    match = _UNIT.fullmatch(unit)
    return match[1] if match else None


def select_own_groups(cgroup_file: str, identifier: str) -> str:
    """The text of a /proc/PID/cgroup as it were of a process right in the container's own control groups, those that the engine made.

    Below them the container may have made others (systemd in a container does), and set what limits it likes there; above them it can't, so
    that the first of its name is the engine's. A hierarchy in which it has no group of its own is left out.
    """
    lines = []
    for line in cgroup_file.splitlines():
        names = line.split("/")
        own = next((at for at, name in enumerate(names) if identifier in (name, parse_scope_name(name))), None)
        if own is not None:
            lines.append("/".join(names[: own + 1]))
    return "\n".join(lines)


def list_container_cgroups(host: Host, instance: Instance = ROOTFUL) -> Iterator[tuple[str, str]]:
    """Full ID and path of the control group of each container that runs, with either cgroup driver.

    A rootless engine's are below its user's manager, and none of the rootful one.
    """
    for folder, folders, unused in os.walk(host.path(instance.manager_cgroup if instance.rootless else CGROUPFS)):
        if not instance.rootless:
            folders[:] = [name for name in folders if not name.startswith("user@")]
        for name in list(folders):
            identifier = parse_scope_name(name) or (name if os.path.basename(folder) == "docker" and _FOLDER.fullmatch(name) else None)
            if identifier:
                folders.remove(name)  # what is below belongs to the container itself
                yield identifier, f"{folder}/{name}".removeprefix(str(host.root).rstrip("/"))


def list_container_ids(host: Host, instance: Instance = ROOTFUL) -> list[str]:
    """Return the IDs of the containers that run below the manager of an engine's owner."""
    return [identifier for identifier, _path in list_container_cgroups(host, instance)]
