# SPDX-License-Identifier: GPL-3.0-or-later
"""Running containers, as reported by the engine and the kernel, and those that the engine does not know."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..host.process import read_process
from ..host.root import Host
from .api import Engine, EngineError
from .cgroups import list_container_cgroups, select_own_groups
from .instance import ROOTFUL, Instance

# What judging and planning need of `docker inspect`; the rest, such as environment variables, stays on the host.
_HOST_CONFIG = (
    "AutoRemove", "CapAdd", "CapDrop", "CgroupParent", "CgroupnsMode", "Devices", "IpcMode", "MaskedPaths", "Memory", "MemorySwap", "NanoCpus",
    "NetworkMode", "PidMode", "PidsLimit", "Privileged", "ReadonlyPaths", "ReadonlyRootfs", "RestartPolicy", "Runtime", "SecurityOpt", "UTSMode",
    "UsernsMode",
)  # fmt: skip
# Label of every temporary container and image; its value names the process that owns it (engine/temporary.py).
PROBE_LABEL = "io.bulkhead.probe"


def trim_inspect(inspect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an inspection that describes the confinement."""
    config = inspect.get("HostConfig", {})
    return {
        "AppArmorProfile": inspect.get("AppArmorProfile", ""),
        "User": inspect.get("Config", {}).get("User", ""),
        "HostConfig": {key: config[key] for key in _HOST_CONFIG if key in config},
        "Mounts": [{key: m.get(key) for key in ("Type", "Source", "Destination", "RW")} for m in inspect.get("Mounts", [])],
        "StartedAt": inspect.get("State", {}).get("StartedAt"),
    }


def get_first_pid(inspect: Mapping[str, Any]) -> int:
    """Return the PID of the container's first process; 0 when it does not run, or when a user's engine reports anything but a PID."""
    pid = (inspect.get("State") or {}).get("Pid")
    return pid if isinstance(pid, int) and not isinstance(pid, bool) and pid > 0 else 0


def read_container(host: Host, engine: Engine, identifier: str) -> dict[str, Any] | None:
    """Return the evidence on one container; None when it does not run. Raises EngineError, EngineUnreachable."""
    try:
        inspect = engine.get(f"/containers/{identifier}/json")
    except EngineError as error:
        if error.status == 404:
            return None
        raise
    pid = get_first_pid(inspect)
    if not pid:
        return None
    return {
        "name": inspect["Name"].lstrip("/"),
        "id": inspect["Id"],
        "pid": pid,
        "image": inspect.get("Config", {}).get("Image", ""),
        "inspect": trim_inspect(inspect),
        "kernel": read_process(host, pid, lambda cgroup_file: select_own_groups(cgroup_file, inspect["Id"])),
        "seccomp_filter": None,
    }


def read_containers(host: Host, engine: Engine, identifiers: Iterable[str]) -> list[dict[str, Any]]:
    """Return the evidence on those of the containers that run, sorted by name."""
    found = [read_container(host, engine, identifier) for identifier in identifiers]
    return sorted((c for c in found if c), key=lambda c: c["name"])


def find_orphans(host: Host, known: set[str], instance: Instance = ROOTFUL) -> list[dict[str, Any]]:
    """Return ID, cgroup, pids and uid_map of each container that runs but is not `known` (full IDs that the engine lists).

    live-restore leaves them running when the data root changes.
    """
    found = []
    for identifier, path in list_container_cgroups(host, instance):
        pids = [] if identifier in known else _list_pids(host, path)
        if pids:
            found.append({"id": identifier, "cgroup": path, "pids": pids, "uid_map": read_process(host, pids[0]).get("uid_map", [])})
    return found


def _list_pids(host: Host, cgroup: str) -> list[int]:
    """Return the processes of a cgroup and of those below."""
    pids = []
    for folder, unused, files in os.walk(host.path(cgroup)):
        if "cgroup.procs" in files:
            try:
                with open(f"{folder}/cgroup.procs") as handle:
                    pids += [int(line) for line in handle]
            except OSError:  # removed meanwhile, or a threaded cgroup, which lists none
                continue
    return pids
