# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what planning needs of running containers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from stat import S_ISBLK
from typing import Any

from ..host import cgroup
from ..host.root import Host
from .api import Engine
from .cgroups import select_own_groups
from .inspection import get_first_pid, get_listed_name, inspect_containers


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
