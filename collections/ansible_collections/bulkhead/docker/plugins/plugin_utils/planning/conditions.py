# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds conditions of a host, other than its layers, that need attention before a change: pending restarts and free disk space. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.formatting import format_size
from ...module_utils.layers.planning_observation import REBOOT_REQUIRED
from ...module_utils.layers.verdict import LayerPlan

# Bytes. Verification imports an image of some MB, and an engine fails badly long before the disk is completely full.
LITTLE_SPACE = 500_000_000


def find_warnings(observed: Mapping[str, Any], layers: Mapping[str, LayerPlan]) -> list[str]:
    """Return one message per condition. They are not blockers: where certainty is needed, the host itself checks again."""
    pending, engine = observed.get("pending") or {}, observed["engine"]
    found = []
    if pending.get("reboot") is not None:
        packages = f" for {', '.join(pending['reboot'])}" if pending["reboot"] else ""
        found.append(f"a reboot is pending{packages} ({REBOOT_REQUIRED}): verification now covers the running kernel only")
    if pending.get("modules") is False:
        kernel = observed["system"]["kernel"]
        found.append(
            f"/lib/modules/{kernel} does not exist, so the running kernel cannot load modules, and a restarted engine may lack those of its"
            " networks; reboot first"
        )
    if pending.get("replaced"):
        found.append(
            f"dockerd was replaced since it started: its next restart starts another version than {engine.get('version') or 'the running one'}"
        )
    return found + _find_space_warnings(pending.get("disk_space"), engine.get("contents") or {}, layers)


def _find_space_warnings(space: Mapping[str, Any] | None, contents: Mapping[str, Any], layers: Mapping[str, LayerPlan]) -> list[str]:
    if not space:
        return []
    free = f"{space['path']} has {format_size(space['free'])} free"
    size = contents.get("bytes") or 0
    if "userns" in layers and layers["userns"].apply.get("migrate") and size > space["free"]:
        # An upper bound: layers that images share are counted once per image. The host counts exactly before it stops anything.
        return [f"{free}, and up to {format_size(size)} are to be migrated into the remapped data root; free some (docker system prune)"]
    return [f"{free}, which is little for restarting and verifying the engine"] if space["free"] < LITTLE_SPACE else []
