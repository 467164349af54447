# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes owner, group and mode of the engine's files and sockets."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from typing import Any

from ...engine.instance import Instance
from ...engine.unit import Unit, read_unit
from ...host.root import Host, read_state

# Pattern -> kind (rules.py); a later pattern takes precedence. CONFIG: the folder of daemon.json, RUNTIME: of sockets; root's and those of
# the rootless engine's user.
_PATTERNS = {
    "CONFIG": "folder",
    "CONFIG/certs.d": "registry_folder",
    "CONFIG/certs.d/*": "registry_folder",
    "CONFIG/certs.d/*/*": "registry_certificate",
    "CONFIG/certs.d/*/*.key": "registry_key",
    "/etc/default/docker": "defaults",
    "/etc/sysconfig/docker": "sysconfig",
    "/etc/containerd": "containerd_folder",
    "/etc/containerd/*.toml": "containerd_config",
    "/run/containerd/containerd.sock*": "containerd_socket",
    "RUNTIME/docker/containerd/containerd.sock*": "containerd_socket",
}
_CONTAINERD = "/etc/containerd/config.toml"
_NAMED = {"tlscacert": "tls_ca", "tlscert": "tls_certificate", "tlskey": "tls_key", "containerd": "containerd_socket"}


def observe(host: Host, instance: Instance, config: Mapping[str, Any], rootful: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of the layer.

    config: of the selected engine (engine_config/observe.py). rootful: `unit` of the rootful one. files: path -> kind, uid, gid, mode, acl
    (whether it has one), target (where a link in the path leads), links (hard ones); or kind and error. What does not exist is left out.
    members: GID -> names in /etc/group. settings: of sockets (list_settings). managed: what is remembered; error:
    why that is unknown.
    """
    host, file, unit = instance.scope_host(host), config["daemon_json"], config["unit"]
    kinds: dict[str, str] = {}
    for pattern, kind in _PATTERNS.items():
        for folder, runtime in (("/etc/docker", "/run"), (os.path.dirname(instance.config), instance.runtime_dir)):
            with host.as_owner(place := pattern.replace("CONFIG", folder).replace("RUNTIME", runtime)):
                kinds |= {f"/{path.relative_to(host.root)}": kind for path in host.root.glob(place[1:])}
    socket, socket_unit = unit["socket"].replace("/var/run/", "/run/"), read_unit(host, name="docker.socket")
    kinds |= dict.fromkeys(socket_unit.files, "socket_unit")
    kinds |= dict.fromkeys(read_unit(host, name="containerd.service").files, "containerd_unit")
    kinds |= {path: "unit" for path in (*rootful["files"], *unit["files"]) if path not in kinds}
    kinds |= {file["path"]: "config", socket: "socket"}
    try:
        named = json.loads(file["text"] or "{}") | unit["flags"]
    except (ValueError, TypeError, RecursionError):  # daemon.json cannot be used, which its own error says
        named = unit["flags"]
    kinds |= {named[key]: kind for key, kind in _NAMED.items() if str(named.get(key)).startswith("/")}
    group = str(named.get("group") or ""), unit["places"].get("group") or file["path"]
    settings = list_settings(host, socket, socket_unit, group)
    found: dict[str, Any] = {"files": {}, "members": {}, "settings": settings, "managed": {}, "error": None}
    for path, kind in sorted(kinds.items()):
        if state := _read_access(host, path, kind):
            found["files"][path] = {"kind": kind, **state}
    found["members"] = dict(re.findall(r"(?m)^[^:\n]*:[^:\n]*:(\d+):(.+)$", host.read("/etc/group") or ""))
    try:
        found["managed"] = read_state(host, "files").get("files", {})
    except (OSError, ValueError) as error:
        found["error"] = str(error)
    return found


def list_settings(host: Host, socket: str, unit: Unit, group: tuple[str, str]) -> dict[str, list[tuple[int, str, str]]]:
    """Return kind of socket -> what it gets when it is created: part of uid, gid and mode, value, and the setting with its file.

    socket: of the engine. unit: docker.socket. group: `group` of the engine's configuration, and its file.
    """
    engine = [(1, group[0], f"group in {group[1]}")] if group[0] else []
    if {socket, f"/var{socket}"} & set(unit.listen):
        for part, (key, default) in enumerate(
            (("SocketUser", "root"), ("SocketGroup", "root"), ("SocketMode", "0666"))
        ):  # systemd.socket(5)
            value, path = unit.access.get(key, ("", next(iter(unit.files))))
            engine.append((part, value or default, f"{key}= in {path}"))
    try:
        named = tomllib.loads(host.read(_CONTAINERD) or "")
    except (OSError, ValueError):  # containerd does not start with it
        named = {}
    tables = [table for name in ("grpc", "ttrpc") if isinstance(table := named.get(name), dict)]
    ids = [
        (part, str(table[key]), f"{key} in {_CONTAINERD}") for table in tables for part, key in enumerate(("uid", "gid")) if table.get(key)
    ]
    return {"socket": engine, "containerd_socket": ids}


def _read_access(host: Host, path: str, kind: str) -> dict[str, Any]:
    """Return the state of one file, read with the rights of the folder's owner; empty without a file of that kind."""
    place = host.path(path)
    try:
        with host.as_owner(path):
            status, target = place.stat(), os.path.realpath(place)
            acl = "system.posix_acl_access" in os.listxattr(place)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        return {"error": error.strerror}
    is_kind = stat.S_ISDIR if kind.endswith("folder") else stat.S_ISSOCK if kind.endswith("socket") else stat.S_ISREG
    if not is_kind(status.st_mode):
        return {}
    return {
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mode": stat.S_IMODE(status.st_mode),
        "acl": acl,
        "target": None if target == str(place) else target,
        "links": 1 if kind.endswith("folder") else status.st_nlink,
    }
