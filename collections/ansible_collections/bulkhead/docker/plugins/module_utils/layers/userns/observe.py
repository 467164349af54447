# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes user namespaces: subordinate ranges, accounts, the kernel's limits, and data roots on disk."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from ...engine.configuration import DATA_ROOT, strip_remapped
from ...engine.flags import parse_flags
from ...engine.unit import read_unit
from ...host.accounts import (
    CONFIG,
    GROUP,
    LOGIN_DEFS,
    PASSWD,
    SUBGID,
    SUBUID,
    find_named,
    list_sources,
    parse_ids,
    parse_lowest,
    read_directory,
    select_accounts,
)
from ...host.data_root import find_other_entries
from ...host.root import Host, read_state

_CONTAINERD = "/etc/containerd/config.toml"
_SSSD = "/etc/sssd/conf.d"  # its files are read after sssd.conf (man 5 sssd.conf)
_ID_FILES = ("/etc/samba/smb.conf", "/etc/sssd/sssd.conf", "/etc/nslcd.conf", LOGIN_DEFS)
_ID_LINE = re.compile(
    r"(?mi)^\s*(\[.*|idmap config.*range.*|include\s*=.*|config backend.*|ldap_id.*|id_prov.*|nss_.*offset.*|[UG]ID_M.*)"
)  # no secrets
_INCLUDE = re.compile(r"(?i)include\s*=\s*(/\S+)\s*")
_REMAPPED = re.compile(r"(\d+)\.(\d+)")


def observe(host: Host, config: Mapping[str, Any] | None = None, root_dir: str = "") -> dict[str, Any]:
    """Return the state of the layer. It runs no command but getent; what a host does not have is None or empty.

    max_user_namespaces: None where the kernel has no user namespaces. directory: accounts that matter for ranges, and which were not checked.
    config: `unit` of the rootful engine (engine_config/observe.py). root_dir: its data root while it runs (DockerRootDir).
    named: accounts in `userns-remap` (find_named). host_namespace: the target of /proc/1/ns/user. unreadable: file -> error.
    data_root: None if it is not known. roots: the content of each data root there, for an engine that does not run. used_roots: UID.GID of
    every remapped root that is found, also in the usual place. next_root: another data root of a running engine's next start.
    """
    found: dict[str, Any] = {"unreadable": {}}
    for name, path in (("subuid", SUBUID), ("subgid", SUBGID)):
        try:
            found[name] = {"text": host.read(path), "mtime": _read_mtime(host, path)}
        except OSError as error:
            found[name] = {"text": None, "mtime": None}
            found["unreadable"][path] = error.strerror or str(error)
    texts = {}
    id_files = [*_ID_FILES, *(f"{_SSSD}/{name}" for name in sorted(_list_entries(host, _SSSD)) if re.fullmatch(r"[^.].*\.conf", name))]
    for path in (queue := [PASSWD, GROUP, CONFIG, *id_files]):
        try:
            texts[path] = host.read(path) or ""
        except OSError as error:
            found["unreadable"][path] = error.strerror or str(error)
        included = (_INCLUDE.fullmatch(line) for line in _ID_LINE.findall(texts.get(path, "")))
        queue += [match[1] for match in included if match and match[1] not in queue]
    passwd, group = texts.get(PASSWD, ""), texts.get(GROUP, "")
    directory = read_directory(host)
    # Every pair of numbers that may be a range: too many do no harm.
    ranges = [
        (int(start), int(count))
        for name in ("subuid", "subgid")
        for start, count in re.findall(r":\s*\+?(\d{1,10})\s*:\s*\+?(\d{1,10})", found[name]["text"] or "", re.ASCII)
    ]
    config = config or {"data_root": DATA_ROOT, "unknown": "", "remap": None}
    configured = None if config["unknown"] else str(config["data_root"])
    data_root = strip_remapped(root_dir) or configured
    places = {data_root, configured, DATA_ROOT} - {None}
    moves = root_dir and configured and os.path.realpath(host.path(configured)) != os.path.realpath(host.path(str(data_root)))
    found |= {
        "uids": parse_ids(passwd),
        "gids": parse_ids(group),
        "lowest": parse_lowest(texts.get(LOGIN_DEFS, "")),
        "directory": {
            "uids": select_accounts(directory.uids, ranges),
            "gids": select_accounts(directory.gids, ranges),
            "unchecked": list(directory.unchecked),
        },
        "subid_sources": list_sources(texts.get(CONFIG), "subid"),
        "id_files": {path: _ID_LINE.findall(texts.get(path, "")) for path in queue[3:]},
        "max_user_namespaces": _parse_number(host.read("/proc/sys/user/max_user_namespaces")),
        "host_namespace": host.read_link("/proc/1/ns/user"),
        "configured": config["remap"],
        "named": find_named(host, config["remap"]),
        "data_root": data_root,
        "roots": _list_data_roots(host, data_root) if data_root else [],
        "used_roots": sorted({name for path in places for name in _list_remapped(host, str(path))}),
        "next_root": configured if moves else None,
        "state": {},
    }
    try:
        found["state"] = read_state(host, "userns")
    except (ValueError, OSError) as error:
        found["unreadable"]["the remembered state of this layer"] = str(error)
    return found


def _list_remapped(host: Host, data_root: str) -> list[str]:
    return sorted(name for name in _list_entries(host, data_root) if _REMAPPED.fullmatch(name))


def _list_data_roots(host: Host, data_root: str) -> list[dict[str, Any]]:
    """Return the engine's data root (`remapped` None) and those named UID.GID below it, with the number of objects in each."""
    if not host.path(data_root).is_dir():
        return []
    store = _find_containerd_store(host, data_root)
    remapped = [_count_objects(host, f"{data_root}/{name}", name, store) for name in _list_remapped(host, data_root)]
    return [_count_objects(host, data_root, None, store), *remapped]


def _find_containerd_store(host: Host, data_root: str) -> str:
    """Return the folder of containerd with content in its own store, which only containerd can list, or why it is not known; or nothing."""
    try:
        folders = (_read_containerd_root(host), f"{data_root}/containerd/daemon")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return f"containerd ({_CONTAINERD}: {error})"
    return next((path for path in folders if _list_entries(host, f"{path}/io.containerd.content.v1.content/blobs/sha256")), "")


def _read_containerd_root(host: Host) -> str:
    """Return containerd's root: by the flags of its unit, or its file and the files that this imports. Raises OSError, ValueError and others."""
    flags = parse_flags(read_unit(host, name="containerd.service").argv)
    found, files = "/var/lib/containerd", [flags.get("config") or flags.get("c") or _CONTAINERD]
    for path in files:
        content = tomllib.loads(host.read(path) or "")
        found = content.get("root") or found
        if path == files[0]:
            patterns = (os.path.join(os.path.dirname(path), pattern) for pattern in content.get("imports", ()))
            files += [f"/{entry.relative_to(host.root)}" for pattern in patterns for entry in sorted(host.root.glob(pattern.lstrip("/")))]
    return str(flags.get("root") or found)


def _names_engine(host: Host, store: str, namespace: str) -> bool:
    """Return whether containerd's database has the engine's namespace (moby daemon/daemon_unix.go, RemapContainerdNamespaces)."""
    try:
        return namespace.encode() in host.path(f"{store}/io.containerd.metadata.v1.bolt/meta.db").read_bytes()
    except OSError:
        return True


def _count_objects(host: Host, path: str, remapped: str | None, store: str) -> dict[str, Any]:
    """Return the number of objects in one data root. unknown: what cannot be counted; the engine may have images there."""
    image_store, unknown = f"{path}/image", ""
    found = {
        "containers": len(_list_folders(host, f"{path}/containers")),
        "volumes": len(_list_folders(host, f"{path}/volumes")),
        "images": sum(
            len(_list_entries(host, f"{image_store}/{driver}/imagedb/content/sha256")) for driver in _list_folders(host, image_store)
        ),
    }
    if store and not found["images"] and _names_engine(host, store, f"moby-{remapped}" if remapped else "moby"):
        unknown = store
    try:
        os.listdir(host.path(path))
    except OSError as error:
        unknown = f"{path} ({error.strerror})"
    return {"path": path, "remapped": remapped, "others": _list_other_entries(host, path) if remapped else [], **found, "unknown": unknown}


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
