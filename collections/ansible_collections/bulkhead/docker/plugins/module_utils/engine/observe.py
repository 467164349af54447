# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes an engine: process, version, `/info`, what it stores and what runs in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..host import system
from ..host.root import Host
from .api import Engine, EngineError, EngineUnreachable
from .cgroups import find_orphans
from .instance import Instance
from .processes import PLACES, find_process
from .records import Temporary, read_records

_INFO = (
    "ServerVersion", "SecurityOptions", "CgroupDriver", "CgroupVersion", "Driver", "DriverStatus", "DockerRootDir", "LiveRestoreEnabled", "DefaultRuntime",
    "RuncCommit", "LoggingDriver", "OSType", "Architecture", "OperatingSystem", "BuildahVersion",
)  # fmt: skip
# Engines that no module of this collection can configure: snap's, Podman's `docker`, and static programs at unusual paths.
_OTHERS = ("snap/docker", "var/snap/docker", "var/lib/dpkg/info/podman-docker.list", "opt/dockerd", "opt/*/dockerd", "opt/*/*/dockerd")
_PACKAGES = ("docker.io", "docker-ce", "moby-engine")


# Reads what an engine stores, by its function for GET, without what is temporary (engine/contents.py, engine/records.py).
ContentsReader = Callable[[Callable[..., Any], Sequence[Temporary]], dict[str, Any]]
# Reads running containers: (host, engine, entries of /containers/json, /info) -> one entry each (engine/containers.py, engine/contents.py).
ContainersReader = Callable[[Host, Engine, Sequence[Mapping[str, Any]], Mapping[str, Any]], list[dict[str, Any]]]


def observe_engine(
    host: Host,
    engine: Engine,
    instance: Instance,
    daemons: list[dict[str, Any]],
    read_containers: ContainersReader,
    read_contents: ContentsReader | None = None,
    program: str = "",
) -> dict[str, Any]:
    """Return the state of one engine.

    daemons: the processes of all engines. read_contents: None leaves `contents` out, which only planning needs. program: dockerd by the unit.
    """
    process = find_process(daemons, instance)
    found: dict[str, Any] = {
        "socket": engine.socket,
        "package": _find_package(host),
        "installed": _is_installed(host, program),
        "others": _list_others(host),
        "running": False,
        "error": None,
        "pid": process["pid"] if process else None,
        "argv": process["argv"] if process else [],
        "started_at": system.read_start_time(host, process["pid"]) if process else None,
        "started_ticks": system.find_start_ticks(host, process["pid"]) if process else None,
        "daemons": daemons,
        "containers": [],
        "orphans": [],
    }
    try:
        engine.info = info = engine.get("/info")
        found.update(_describe_info(info))
        listed, temporary = engine.get("/containers/json"), read_records(host)
        others = [entry for entry in listed if not any(record.has_container(entry) for record in temporary)]
        found["containers"] = read_containers(host, engine, others, info)
        found["orphans"] = find_orphans(host, engine, {entry["Id"] for entry in listed}, instance)
        if read_contents:
            found["contents"] = read_contents(engine.get, temporary)
    except (EngineError, EngineUnreachable) as error:
        found["error"] = str(error)
    return found


def _describe_info(info: Mapping[str, Any]) -> dict[str, Any]:
    options = info.get("SecurityOptions") or []
    root = info.get("DockerRootDir", "")
    tail = root.rsplit("/", 1)[-1]
    return {
        "running": True,
        "version": info.get("ServerVersion"),
        "info": {key: info.get(key) for key in _INFO},
        "runtimes": info.get("Runtimes") or {},
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


def _list_others(host: Host) -> list[str]:
    found = (f"/{path.relative_to(host.root)}" for pattern in _OTHERS for path in sorted(host.root.glob(pattern)))
    return [path for path in found if path not in PLACES]


def _is_installed(host: Host, program: str) -> bool:
    return any(host.path(path).exists() for path in (*PLACES, program) if path)
