# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes user namespaces: subordinate ranges, accounts, the kernel's limits, and data roots on disk."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from ...host.data_root import find_other_entries
from ...host.root import Host, read_state
from ...subid.accounts import GROUP, LOGIN_DEFS, PASSWD, parse_ids, parse_lowest, parse_primary_groups
from ...subid.directory import CONFIG, list_sources, read_directory, select_accounts
from ...subid.ranges import SUBGID, SUBUID, parse_subid

DAEMON_JSON = "/etc/docker/daemon.json"
DEFAULT_DATA_ROOT = "/var/lib/docker"
_REMAPPED = re.compile(r"(\d+)\.(\d+)")


def observe(host: Host) -> dict[str, Any]:
    """Return the state of the layer. It runs no command but getent, for a directory service; what a host does not have is None or empty.

    subuid, subgid: `text` and `mtime` of the files. max_user_namespaces: None where the kernel has no user namespaces.
    directory: accounts of directory services, as far as they matter for ranges, and which were not checked. subid_sources: of nsswitch.conf.
    host_namespace: the target of /proc/1/ns/user. roots: the content of each data root on disk, for an engine that does not run.
    unreadable: file -> error.
    """
    found: dict[str, Any] = {"unreadable": {}}
    for name, path in (("subuid", SUBUID), ("subgid", SUBGID)):
        try:
            found[name] = {"text": host.read(path), "mtime": _read_mtime(host, path)}
        except OSError as error:
            found[name] = {"text": None, "mtime": None}
            found["unreadable"][path] = error.strerror or str(error)
    texts = {}
    for path in (PASSWD, GROUP, LOGIN_DEFS):
        try:
            texts[path] = host.read(path) or ""
        except OSError as error:
            found["unreadable"][path] = error.strerror or str(error)
    passwd, group = texts.get(PASSWD, ""), texts.get(GROUP, "")
    directory = read_directory(host)
    ranges = [(line.start, line.count) for path in ("subuid", "subgid") for line in parse_subid(path, found[path]["text"]).ranges]
    configured = _read_daemon_json(host)
    data_root = str(configured.get("data-root") or configured.get("graph") or DEFAULT_DATA_ROOT)
    found |= {
        "uids": parse_ids(passwd),
        "gids": parse_ids(group),
        "lowest": parse_lowest(texts.get(LOGIN_DEFS, "")),
        "primary_groups": parse_primary_groups(passwd),
        "directory": {
            "uids": select_accounts(directory.uids, ranges),
            "gids": select_accounts(directory.gids, ranges),
            "unchecked": list(directory.unchecked),
        },
        "subid_sources": _list_subid_sources(host),
        "sssd": host.path("/etc/sssd/sssd.conf").exists(),
        "max_user_namespaces": _parse_number(host.read("/proc/sys/user/max_user_namespaces")),
        "host_namespace": host.read_link("/proc/1/ns/user"),
        "configured": configured.get("userns-remap"),
        "data_root": data_root,
        "roots": _list_data_roots(host, data_root),
        "state": {},
    }
    try:
        found["state"] = read_state(host, "userns")
    except (ValueError, OSError) as error:
        found["unreadable"]["the remembered state of this layer"] = str(error)
    return found


def _list_subid_sources(host: Host) -> list[str]:
    try:
        return list_sources(host.read(CONFIG), "subid")
    except OSError:  # reported as an unchecked directory
        return []


def _read_daemon_json(host: Host) -> dict[str, Any]:
    """Return the content of daemon.json; empty when it cannot be parsed, which the engine's configuration reports."""
    try:
        content = json.loads(host.read(DAEMON_JSON) or "{}")
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _list_data_roots(host: Host, data_root: str) -> list[dict[str, Any]]:
    """Return the engine's data root (`remapped` None) and those named UID.GID below it, with the number of objects in each."""
    try:
        names = sorted(entry for entry in os.listdir(host.path(data_root)) if _REMAPPED.fullmatch(entry))
    except OSError:
        return []
    return [_count_objects(host, data_root, None)] + [_count_objects(host, f"{data_root}/{name}", name) for name in names]


def _count_objects(host: Host, path: str, remapped: str | None) -> dict[str, Any]:
    image_store = f"{path}/image"
    return {
        "path": path,
        "remapped": remapped,
        "others": _list_other_entries(host, path) if remapped else [],
        "containers": len(_list_folders(host, f"{path}/containers")),
        "volumes": len(_list_folders(host, f"{path}/volumes")),
        "images": sum(
            len(_list_entries(host, f"{image_store}/{driver}/imagedb/content/sha256")) for driver in _list_folders(host, image_store)
        ),
    }


def _list_other_entries(host: Host, path: str) -> list[str]:
    """Return what a remapped root holds that no engine creates by itself, so that it is not removed for a migration."""
    try:
        return find_other_entries(host.path(path))
    except OSError as error:
        return [f"something that cannot be read ({error.strerror})"]


def _list_entries(host: Host, path: str) -> list[str]:
    try:
        return os.listdir(host.path(path))
    except OSError:
        return []


def _list_folders(host: Host, path: str) -> list[str]:
    try:
        with os.scandir(host.path(path)) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _read_mtime(host: Host, path: str) -> float | None:
    try:
        return host.path(path).stat().st_mtime
    except OSError:
        return None


def _parse_number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isdigit() else None
