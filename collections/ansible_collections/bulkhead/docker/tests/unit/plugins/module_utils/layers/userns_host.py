# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts, as an observation shows them, for the tests of user namespaces."""

from __future__ import annotations

from typing import Any

HOST_NS = "user:[4026531837]"
OWN_NS = "user:[4026532421]"
IDENTITY = [[0, 0, 4294967295]]
MAPPED = [[0, 231072, 65536]]
LINE = "dockremap:231072:65536\n"
DEBIAN = "alice:100000:65536\n"

DESIRED: dict[str, Any] = {
    "userns_remap_layer": "required",
    "userns_remap_user": "default",
    "userns_remap_range_start": 231072,
    "userns_remap_range_size": 65536,
    "userns_remap_range_exact": False,
    "userns_remap_existing_data": "refuse",
    "docker_daemon_options": {},
}

CONTENTS: dict[str, Any] = {
    "images": [{"name": "nginx:1", "bytes": 150_000_000}, {"name": "redis:7", "bytes": 50_000_000}],
    "containers": [{"name": "web", "state": "running"}, {"name": "db", "state": "exited"}],
    "volumes": [{"name": "data", "bytes": None}],
    "networks": [],
    "bytes": 200_000_000,
}
EMPTY: dict[str, Any] = {"images": [], "containers": [], "volumes": [], "networks": [], "bytes": 0}


def seen(subuid: str | None = DEBIAN, subgid: str | None = None, **more: Any) -> dict[str, Any]:
    """The layer's own part; `subgid` is as `subuid` unless given."""
    return {
        "unreadable": {},
        "subuid": {"text": subuid, "mtime": 100.0},
        "subgid": {"text": subuid if subgid is None else subgid, "mtime": 100.0},
        "uids": {"root": 0, "alice": 1000, "nobody": 65534},
        "gids": {"root": 0, "alice": 1000, "users": 100, "nogroup": 65534},
        "lowest": 100000,
        "primary_groups": {"root": 0, "alice": 1000},
        "id_files": {},
        "max_user_namespaces": 15000,
        "host_namespace": HOST_NS,
        "configured": None,
        "data_root": "/var/lib/docker",
        "roots": [],
        "state": {},
        **more,
    }


def with_user(**more: Any) -> dict[str, Any]:
    """A host that is set up: user, lines, key, and what we remember of it."""
    found = seen(DEBIAN + LINE, configured="default", **more)
    found["uids"]["dockremap"] = 105
    found["gids"]["dockremap"] = 110
    return found


def engine(**more: Any) -> dict[str, Any]:
    return {
        "installed": True,
        "running": True,
        "version": "26.1.5",
        "remapped": None,
        "live_restore": False,
        "contents": EMPTY,
        "started_at": 200.0,
        "orphans": [],
        "error": None,
        **more,
    }


def observed(here: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"layers": {"userns": here or seen()}, "engine": engine(**more), "daemon_json": {}}


def kernel(uid_map: Any = None, gid_map: Any = None, namespace: str | None = OWN_NS, pid: int = 42) -> dict[str, Any]:
    found: dict[str, Any] = {"pid": pid, "unreadable": {}, "namespaces": {"user": namespace} if namespace else {}}
    found["uid_map"] = MAPPED if uid_map is None else uid_map
    found["gid_map"] = found["uid_map"] if gid_map is None else gid_map
    return found
