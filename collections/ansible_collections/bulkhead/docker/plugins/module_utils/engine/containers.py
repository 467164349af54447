# SPDX-License-Identifier: GPL-3.0-or-later
"""Running containers: the engine's word beside the kernel's, and those that the engine does not know of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..host.process import read_process
from ..host.root import Host
from .api import Engine, EngineError
from .cgroups import list_container_cgroups, select_own_groups
from .instance import ROOTFUL, Instance

# What judging and planning need of `docker inspect`; the rest (environment variables, for one) stays on the host.
_HOST_CONFIG = (
    "AutoRemove", "CapAdd", "CapDrop", "CgroupParent", "CgroupnsMode", "Devices", "IpcMode", "MaskedPaths", "Memory", "MemorySwap", "NanoCpus",
    "NetworkMode", "PidMode", "PidsLimit", "Privileged", "ReadonlyPaths", "ReadonlyRootfs", "RestartPolicy", "Runtime", "SecurityOpt", "UTSMode",
    "UsernsMode",
)  # fmt: skip
# On everything that a probe leaves in the engine while it lives; the value says which run owns it (engine/probe.py).
PROBE_LABEL = "io.bulkhead.probe"


def trim_inspect(inspect: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an inspection that says how a container is confined."""
    config = inspect.get("HostConfig", {})
    return {
        "AppArmorProfile": inspect.get("AppArmorProfile", ""),
        "User": inspect.get("Config", {}).get("User", ""),
        "HostConfig": {key: config[key] for key in _HOST_CONFIG if key in config},
        "Mounts": [{key: m.get(key) for key in ("Type", "Source", "Destination", "RW")} for m in inspect.get("Mounts", [])],
        "StartedAt": inspect.get("State", {}).get("StartedAt"),
    }


def get_first_pid(inspect: Mapping[str, Any]) -> int:
    """The container's first process; 0 when it does not run. A text would lead out of /proc: a user's engine says what it likes."""
    pid = (inspect.get("State") or {}).get("Pid")
    return pid if isinstance(pid, int) and not isinstance(pid, bool) and pid > 0 else 0


def read_container(host: Host, engine: Engine, identifier: str) -> dict[str, Any] | None:
    """One container as `evidence` holds it; None when it does not run (any more). Raises EngineError, EngineUnreachable."""
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
    """Those of the containers `identifiers` that run, by name."""
    seen = [read_container(host, engine, identifier) for identifier in identifiers]
    return sorted((c for c in seen if c), key=lambda c: c["name"])


def find_orphans(host: Host, known: set[str], instance: Instance = ROOTFUL) -> list[dict[str, Any]]:
    """Containers that run in a cgroup of Docker's, but that the engine does not list: what live-restore leaves behind when the data root changes.

    known: full IDs of the containers that the engine does list. Returns ID, cgroup, pids and uid_map of each.
    """
    found = []
    for identifier, path in list_container_cgroups(host, instance):
        pids = [] if identifier in known else _members(host, path)
        if pids:
            found.append({"id": identifier, "cgroup": path, "pids": pids, "uid_map": read_process(host, pids[0]).get("uid_map", [])})
    return found


def _members(host: Host, cgroup: str) -> list[int]:
    """The processes of a cgroup, the nested ones included."""
    pids = []
    for folder, unused, files in os.walk(host.path(cgroup)):
        if "cgroup.procs" in files:
            try:
                with open(f"{folder}/cgroup.procs") as handle:
                    pids += [int(line) for line in handle]
            except OSError:  # removed while we looked, or a threaded cgroup, which lists none
                continue
    return pids
