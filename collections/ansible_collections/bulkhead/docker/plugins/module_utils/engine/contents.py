# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what planning needs of an engine: its running containers, and what it stores in its data root and no longer sees with another root."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from stat import S_ISBLK
from typing import Any

from ..host import cgroup
from ..host.root import Host
from .api import Engine, EngineError, EngineUnreachable
from .cgroups import select_own_groups
from .inspection import get_first_pid, get_listed_name, inspect_containers, list_tags
from .records import Temporary

Get = Callable[..., Any]

_BUILT_IN_NETWORKS = frozenset({"bridge", "host", "none", "ingress", "docker_gwbridge"})
_REMAPPED_ROOT = re.compile(r"/\d+\.\d+/volumes/")


def list_contents(get: Get, temporary: Sequence[Temporary] = ()) -> dict[str, Any]:
    """Return images, containers, volumes and user-defined networks, each a list of dictionaries with `name`, and `bytes` when known.

    get: `Engine.get`. temporary: what is left out (engine/records.py). Containers have their `state`. `bytes` of the result is the total;
    images count in full, although they share layers. Volumes are measured, for which the engine reads all their folders, only in a root
    that is not remapped, because a switch would hide them. Raises EngineError, EngineUnreachable.
    """
    images = [entry for entry in get("/images/json") or [] if not any(record.has_image(entry) for record in temporary)]
    containers = [
        entry for entry in get("/containers/json", all=True) or [] if not any(record.has_container(entry) for record in temporary)
    ]
    volumes = (get("/volumes") or {}).get("Volumes") or []
    is_plain = not any(_REMAPPED_ROOT.search(entry.get("Mountpoint") or "") for entry in volumes)
    sizes = _read_volume_sizes(get) if volumes and is_plain else {}
    found: dict[str, list[dict[str, Any]]] = {
        "images": [{"name": _name_image(entry), "bytes": int(entry.get("Size") or 0)} for entry in images],
        "containers": [{"name": get_listed_name(entry), "state": entry.get("State", "")} for entry in containers],
        "volumes": [{"name": entry.get("Name", ""), "bytes": sizes.get(entry.get("Name", ""))} for entry in volumes],
        "networks": [{"name": name} for entry in get("/networks") or [] if (name := entry.get("Name", "")) not in _BUILT_IN_NETWORKS],
    }
    return {**found, "bytes": sum(entry["bytes"] or 0 for entry in found["images"] + found["volumes"])}


def _name_image(entry: Mapping[str, Any]) -> str:
    digests = [digest for digest in entry.get("RepoDigests") or [] if not digest.startswith("<none>")]
    return str((list_tags(entry) or digests or [entry.get("Id", "").removeprefix("sha256:")[:12]])[0])


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


def read_summaries(host: Host, engine: Engine, listed: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one summary per running container, sorted by name. listed: entries of `/containers/json`."""
    found = [
        _summarize_container(host, entry, inspect or {}) for entry, inspect, error in inspect_containers(engine, listed) if inspect or error
    ]
    return sorted(found, key=lambda c: c["name"])


def _summarize_container(host: Host, entry: Mapping[str, Any], inspect: Mapping[str, Any]) -> dict[str, Any]:
    config = inspect.get("HostConfig") or {}
    return {
        "name": get_listed_name(entry),
        "id": entry["Id"],
        "image": (inspect.get("Config") or {}).get("Image") or entry.get("Image", ""),
        "pids": _read_pids(host, get_first_pid(inspect), entry["Id"]),
        "pids_limit": config.get("PidsLimit"),
        "networks": sorted((entry.get("NetworkSettings") or {}).get("Networks") or ()),
        "ports": sorted({f"{port['PublicPort']}/{port['Type']}" for port in entry.get("Ports") or () if port.get("PublicPort")}),
        "auto_remove": bool(config.get("AutoRemove")),
        "hidden_devices": _list_hidden_devices(host, config),
        "restart_policy": (config.get("RestartPolicy") or {}).get("Name", "no"),
    }


def _list_hidden_devices(host: Host, config: Mapping[str, Any]) -> list[str]:
    """Return what systemd may not know: `--gpus`, and devices that neither udev nor sysfs lists (runc 1.1.5 cgroups/systemd/common.go)."""
    found = ["--gpus"] if config.get("DeviceRequests") else []
    for device in config.get("Devices") or ():
        with suppress(OSError, KeyError):
            status = host.path(device["PathOnHost"]).stat()
            name = f"dev/{'block' if S_ISBLK(status.st_mode) else 'char'}/{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
            if status.st_rdev and not any(host.path(f"{top}/{name}").exists() for top in ("", "/sys")):
                found.append(device["PathOnHost"])
    return found


def _read_pids(host: Host, pid: int, identifier: str) -> dict[str, Any] | None:
    try:
        folder = cgroup.find_pids_folder(select_own_groups(host.read(f"/proc/{pid}/cgroup") or "", identifier))
        return cgroup.read_pids(host, folder) if folder else None
    except (OSError, ValueError):  # it has ended
        return None
