# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists what an engine stores in its data root, and no longer sees with another root."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .api import EngineError, EngineUnreachable
from .records import Temporary

Get = Callable[..., Any]

_BUILT_IN_NETWORKS = frozenset({"bridge", "host", "none", "ingress", "docker_gwbridge"})
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_REMAPPED_ROOT = re.compile(r"/\d+\.\d+/volumes/")


def list_contents(get: Get, temporary: Sequence[Temporary] = (), measure: bool | None = None) -> dict[str, Any]:
    """Return images, containers, volumes and user-defined networks, each a list of dictionaries with `name`, and `bytes` when known.

    get: `Engine.get`. temporary: what is left out (engine/records.py). measure: whether to ask for the size of volumes, for which the
    engine reads all their folders; None: only in a root that is not remapped, because a switch would hide them. Otherwise `bytes` of a
    volume is None.
    `bytes` of the result is the total; images count in full, although they share layers.
    Raises EngineError, EngineUnreachable.
    """
    images = [_build_image_entry(entry) for entry in get("/images/json") or [] if not any(record.has_image(entry) for record in temporary)]
    containers = [
        _build_container_entry(entry)
        for entry in get("/containers/json", all=True) or []
        if not any(record.has_container(entry) for record in temporary)
    ]
    listed = (get("/volumes") or {}).get("Volumes") or []
    if measure is None:
        measure = not any(_REMAPPED_ROOT.search(entry.get("Mountpoint") or "") for entry in listed)
    sizes = _read_volume_sizes(get) if listed and measure else {}
    volumes = [_build_volume_entry(entry, sizes) for entry in listed]
    networks = [_build_network_entry(entry) for entry in get("/networks") or [] if entry.get("Name") not in _BUILT_IN_NETWORKS]
    return {
        "images": images,
        "containers": containers,
        "volumes": volumes,
        "networks": networks,
        "bytes": sum(entry.get("bytes") or 0 for entry in images + volumes),
    }


def _build_image_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    tags = [tag for tag in entry.get("RepoTags") or [] if tag != "<none>:<none>"]
    digests = [digest for digest in entry.get("RepoDigests") or [] if not digest.startswith("<none>")]
    name = (tags or digests or [entry.get("Id", "").removeprefix("sha256:")[:12]])[0]
    return {"name": name, "id": entry.get("Id", ""), "tags": tags, "bytes": int(entry.get("Size") or 0)}


def _build_container_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = entry.get("Names") or [entry.get("Id", "")[:12]]
    return {
        "name": names[0].lstrip("/"),
        "id": entry.get("Id", ""),
        "image": entry.get("Image", ""),
        "state": entry.get("State", ""),
    }


def _build_volume_entry(entry: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    name = entry.get("Name", "")
    # The label exists since engine 23.0; before, only the form of the name tells.
    anonymous = "com.docker.volume.anonymous" in (entry.get("Labels") or {}) or bool(_ANONYMOUS.fullmatch(name))
    return {"name": name, "driver": entry.get("Driver", ""), "anonymous": anonymous, "bytes": sizes.get(name)}


def _build_network_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": entry.get("Name", ""), "id": entry.get("Id", ""), "driver": entry.get("Driver", "")}


def _read_volume_sizes(get: Get) -> dict[str, int]:
    """Return name → bytes; empty when the engine does not answer in time, which is not an error.

    `type` exists since API 1.42; older engines measure everything. Since API 1.52 the list needs `verbose` and is in another key.
    """
    try:
        answer = get("/system/df", type="volume", verbose=True) or {}
    except (EngineError, EngineUnreachable):
        return {}
    entries = (answer.get("VolumeUsage") or {}).get("Items") or answer.get("Volumes") or []
    sizes = {entry.get("Name", ""): int((entry.get("UsageData") or {}).get("Size", -1)) for entry in entries}
    return {name: size for name, size in sizes.items() if size >= 0}  # -1: the driver does not know
