# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes an engine: process, version, `/info`, what it stores and what runs in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..host import system
from ..host.root import Host
from . import containers
from .api import Engine, EngineError, EngineUnreachable
from .instance import ROOTFUL, Instance
from .processes import list_dockerds

_INFO = (
    "ServerVersion", "SecurityOptions", "CgroupDriver", "CgroupVersion", "Driver", "DockerRootDir", "LiveRestoreEnabled", "DefaultRuntime",
    "LoggingDriver", "OSType", "Architecture", "OperatingSystem", "Containers", "ContainersRunning", "Images", "Warnings",
)  # fmt: skip
_PACKAGES = ("docker.io", "docker-ce", "moby-engine")


# Reads what an engine stores, by its function for GET (engine/contents.py).
ContentsReader = Callable[[Callable[..., Any]], dict[str, Any]]


def observe_engine(host: Host, engine: Engine, instance: Instance = ROOTFUL, read_contents: ContentsReader | None = None) -> dict[str, Any]:
    """Return the state of one engine. `containers` has the whole evidence on each running one; `daemons` are the processes of all engines.

    read_contents: None leaves `contents` out, which only planning needs.
    """
    daemons = list_dockerds(host)
    process = next((d for d in daemons if instance.owns_process(d)), None)
    found: dict[str, Any] = {
        "socket": engine.socket,
        "package": _find_package(host),
        "installed": _is_installed(host),
        "running": False,
        "error": None,
        "pid": process["pid"] if process else None,
        "argv": process["argv"] if process else [],
        "started_at": system.read_start_time(host, process["pid"]) if process else None,
        "daemons": daemons,
        "containers": [],
        "orphans": [],
    }
    try:
        found.update(_read_info(engine))
        listed = engine.get("/containers/json")
        others = [c["Id"] for c in listed if containers.PROBE_LABEL not in (c.get("Labels") or {})]
        found["containers"] = containers.read_containers(host, engine, others)
        found["orphans"] = containers.find_orphans(host, {c["Id"] for c in listed}, instance)
        if read_contents:
            found["contents"] = read_contents(engine.get)
    except (EngineError, EngineUnreachable) as error:
        found["error"] = str(error)
    return found


def summarize_container(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return what planning needs of a running container."""
    config = container["inspect"]["HostConfig"]
    return {
        "name": container["name"],
        "id": container["id"],
        "image": container["image"],
        "pids": container["kernel"].get("pids"),
        "pids_limit": config.get("PidsLimit"),
        "restart_policy": (config.get("RestartPolicy") or {}).get("Name", "no"),
    }


def _read_info(engine: Engine) -> dict[str, Any]:
    info = engine.get("/info")
    options = info.get("SecurityOptions") or []
    root = info.get("DockerRootDir", "")
    tail = root.rsplit("/", 1)[-1]
    return {
        "running": True,
        "version": info.get("ServerVersion"),
        "info": {key: info.get(key) for key in _INFO},
        "runtimes": sorted(info.get("Runtimes") or {}),
        "cgroup_driver": info.get("CgroupDriver"),
        "cgroup_version": int(info.get("CgroupVersion") or 1),
        "storage_driver": info.get("Driver"),
        "root_dir": root,
        # The remapped root is named after root's outer IDs, UID.GID (moby daemon/daemon_unix.go, setupDaemonRoot).
        "remapped": tail if any("name=userns" in o for o in options) else None,
        "live_restore": bool(info.get("LiveRestoreEnabled")),
        "swarm": (info.get("Swarm") or {}).get("LocalNodeState") not in (None, "", "inactive"),
        "security_options": options,
    }


def _find_package(host: Host) -> str | None:
    return next((name for name in _PACKAGES if host.path(f"/var/lib/dpkg/info/{name}.list").exists()), None)


def _is_installed(host: Host) -> bool:
    return any(host.path(f"{folder}/dockerd").exists() for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"))
