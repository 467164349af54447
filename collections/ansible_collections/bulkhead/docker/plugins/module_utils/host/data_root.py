# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries that an engine creates in its data root, and the other entries there, which must not be removed."""

from __future__ import annotations

import os
import re
from pathlib import Path

# What an engine creates in its root (moby daemon/daemon.go, NewDaemon). Nothing else is removed.
ENGINE_ENTRIES = frozenset(
    "buildkit containers engine-id image network overlay2 plugins rootfs runtimes swarm tmp trust volumes nuke-graph-directory.sh".split()
)
# Folder -> what an engine puts there without being asked: stores of plugins, the database of volumes. A managed plugin is a folder of its own in
# `plugins` (moby daemon/pkg/plugin/manager.go), a swarm node keeps its keys and state in `swarm` (moby daemon/cluster/cluster.go).
_OWN = {"plugins": {"storage", "tmp"}, "swarm": set(), "trust": set(), "volumes": {"metadata.db", "backingFsBlockDev"}, "containers": set()}
_CONTAINER = re.compile(r"[0-9a-f]{64}")


def find_other_entries(root: Path, folders: frozenset[str] | None = None) -> list[str]:
    """Return what a root contains besides containers, images, volumes, networks and what every engine creates: paths below it, sorted.

    folders: only what is in these folders of it. Raises OSError.
    """
    found = [] if folders else [name for name in os.listdir(root) if name not in ENGINE_ENTRIES]
    for folder, own in _OWN.items():
        path = root / folder
        if (folders is not None and folder not in folders) or not path.is_dir():
            continue
        for name in os.listdir(path):
            is_content = (folder == "containers" and _CONTAINER.fullmatch(name)) or (
                folder == "volumes" and (path / name / "_data").is_dir()
            )
            if name not in own and not is_content:
                found.append(f"{folder}/{name}")
    return sorted(found)
