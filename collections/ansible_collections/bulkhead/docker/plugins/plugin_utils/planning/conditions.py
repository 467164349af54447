# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be known of a host before it is changed, beside its layers: what waits for a restart, and whether there is room. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.formatting import format_size
from ...module_utils.host.pending import REBOOT
from ...module_utils.layers.verdict import LayerPlan

# The verification imports an image of some MB, and an engine that can't write ends badly long before the last byte.
ROOM = 500_000_000


def warnings(observed: Mapping[str, Any], layers: Mapping[str, LayerPlan]) -> list[str]:
    """A sentence each. None of it keeps a host from being hardened: what has to be certain is looked at again on the host itself."""
    pending, engine = observed.get("pending") or {}, observed["engine"]
    found = []
    if pending.get("reboot") is not None:
        packages = f" for {', '.join(pending['reboot'])}" if pending["reboot"] else ""
        found.append(f"a reboot is pending{packages} ({REBOOT}): what is verified now is verified of the kernel that runs now")
    if pending.get("modules") is False:
        kernel = observed["system"]["kernel"]
        found.append(
            f"/lib/modules/{kernel} is gone, so that the kernel that runs can load no further module: an engine that is restarted may not"
            " find what its networks need; reboot first"
        )
    if pending.get("replaced"):
        found.append(f"dockerd was replaced since it started: its next restart brings another engine than {engine.get('version') or 'now'}")
    return found + _room(pending.get("room"), engine.get("contents") or {}, layers)


def _room(room: Mapping[str, Any] | None, contents: Mapping[str, Any], layers: Mapping[str, LayerPlan]) -> list[str]:
    if not room:
        return []
    free = f"{room['path']} has {format_size(room['free'])} free"
    carried = contents.get("bytes") or 0
    if "userns" in layers and layers["userns"].apply.get("migrate") and carried > room["free"]:
        # Layers that images share are counted for each, so this may be too much; the host counts exactly, before anything stops.
        return [f"{free}, and up to {format_size(carried)} are to be carried into the remapped root; make room (docker system prune)"]
    return [f"{free}, which is little for an engine that is to be restarted and verified"] if room["free"] < ROOM else []
