# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes rootless engines: every engine that runs, and the parts of the selected one.

Reads files and /proc; asks only the rootful engine, for its containers.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from ...engine.api import Engine, EngineError, EngineUnreachable
from ...engine.cgroups import list_container_ids
from ...engine.instance import ROOTFUL, Instance, find_instance
from ...engine.processes import find_socket
from ...host.root import Host, read_state
from ...rootless import names


def observe(host: Host, instance: Instance, daemons: list[dict[str, Any]], socket: str = ROOTFUL.socket) -> dict[str, Any]:
    """Return the state of the layer.

    engines: every running one, as `verify_layers` returns it. state, ranges: the remembered state; error when it is damaged. rootful: units and
    containers of the rootful engine, and its `socket`, which the caller knows. The rest describes the engine of the selected user, or of the
    user that Bulkhead set up before: files (path -> text, mode, uid, link), linger, controllers (None: not readable), containers (IDs).
    """
    found: dict[str, Any] = {"engines": [], "state": {}, "ranges": {}, "error": None}
    try:
        found.update(state=read_state(host, names.SUBJECT), ranges=read_state(host, names.RANGES).get("users", {}))
    except (OSError, ValueError) as error:
        found["error"] = str(error)
    found["engines"] = [_describe_engine(host, daemon, instance) for daemon in daemons]
    selected = instance if instance.rootless else find_instance(host, found["state"].get("user"))
    found["rootful"] = _observe_rootful(host, daemons, socket.replace("/var/run/", "/run/"), instance.rootless)
    found["first_port"] = names.read_first_port(host)
    if selected.rootless:
        found.update(_observe_user(host, selected))
    return found


def _observe_user(host: Host, instance: Instance) -> dict[str, Any]:
    exists = instance.uid is not None
    own = f"{instance.home}/.config/systemd/user"
    controllers = host.read(f"{instance.manager_cgroup}/cgroup.controllers") if exists else None
    return {
        "user": instance.as_dict(),
        "files": {path: names.read_file_state(host, path) for path in names.list_managed_paths(instance.uid)},
        "own_unit": f"{own}/docker.service" if exists and _has_own_file(host, instance, f"{own}/docker.service") else None,
        "own_unit_enabled": exists and _has_own_file(host, instance, f"{own}/default.target.wants/docker.service"),
        "linger": host.path(names.build_linger_path(instance.user)).exists(),
        "controllers": None if controllers is None else controllers.split(),
        "containers": list_container_ids(host, instance) if exists else [],
    }


def _has_own_file(host: Host, instance: Instance, path: str) -> bool:
    """Return whether the user has such a file or link."""
    with instance.scope_host(host).as_owner(path):
        return os.path.lexists(host.path(path))


def _describe_engine(host: Host, daemon: dict[str, Any], selected: Instance) -> dict[str, Any]:
    uid = daemon["uid"]
    name = next(
        (line.split(":")[0] for line in (host.read("/etc/passwd") or "").splitlines() if line.split(":")[2:3] == [str(uid)]), str(uid)
    )
    return {
        "kind": "rootless" if daemon["rootless"] else "rootful",
        "user": name,
        "uid": uid,
        "pid": daemon["pid"],
        "uid_map": daemon["uid_map"],
        "socket": _describe_socket(
            host, find_socket(host, daemon, f"/run/user/{uid}/docker.sock" if daemon["rootless"] else "/run/docker.sock")
        ),
        "judged": selected.owns_process(daemon),
    }


def _describe_socket(host: Host, path: str) -> dict[str, Any] | None:
    try:
        status = os.lstat(host.path(path))
        folder = os.lstat(host.path(path.rpartition("/")[0]))
    except OSError:
        return None
    return {
        "path": path,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mode": f"{status.st_mode & 0o777:04o}",
        "socket": stat.S_ISSOCK(status.st_mode),
        "folder_uid": folder.st_uid,
        "folder_mode": f"{folder.st_mode & 0o777:04o}",
    }


def _observe_rootful(host: Host, daemons: list[dict[str, Any]], socket: str, ask_containers: bool) -> dict[str, Any]:
    """Return `present` and `masked` units, and the names of running containers, which are requested only next to a rootless engine."""
    system = "/etc/systemd/system"
    pid = next((daemon["pid"] for daemon in daemons if not daemon["rootless"]), None)
    found: dict[str, Any] = {
        "pid": pid,
        "present": [unit for unit in names.ROOTFUL_UNITS if _has_unit(host, unit)],
        "masked": [unit for unit in names.ROOTFUL_UNITS if names.read_file_state(host, f"{system}/{unit}").get("link") == "/dev/null"],
        "socket": socket,
        "listening": host.path(socket).exists() and any(
            line.split()[-1:] == [socket] for line in (host.read("/proc/net/unix") or "").splitlines()
        ),
        "containers": [],
    }  # fmt: skip
    if pid and ask_containers:
        try:
            listed = Engine(socket, 30).get("/containers/json")
            found["containers"] = [(c.get("Names") or [c["Id"][:12]])[0].lstrip("/") for c in listed]
        except (EngineError, EngineUnreachable) as error:
            found["error"] = str(error)
    return found


def _has_unit(host: Host, unit: str) -> bool:
    return any(host.path(f"{folder}/{unit}").exists() for folder in ROOTFUL.unit_dirs)
