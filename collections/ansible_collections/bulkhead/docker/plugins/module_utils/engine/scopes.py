# SPDX-License-Identifier: GPL-3.0-or-later
"""The control groups of running containers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..host.cgroup import CGROUPFS
from ..host.root import Host
from .instance import ROOTFUL, Instance

_SCOPE = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?")


def cgroups(host: Host, instance: Instance = ROOTFUL) -> Iterator[tuple[str, str]]:
    """Full ID and path of the control group of each container that runs, with either cgroup driver.

    A rootless engine's are below its user's manager, and none of the rootful one.
    """
    for folder, folders, unused in os.walk(host.path(instance.manager_cgroup if instance.rootless else CGROUPFS)):
        if not instance.rootless:
            folders[:] = [name for name in folders if not name.startswith("user@")]
        for name in list(folders):
            match = _SCOPE.fullmatch(name)
            if match and (name.startswith("docker-") or os.path.basename(folder) == "docker"):
                folders.remove(name)  # what is below belongs to the container itself
                yield match[1], f"{folder}/{name}".removeprefix(str(host.root).rstrip("/"))
