# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes what containers use of the host, and who may access it: for a switch to userns-remap, under which their IDs change. Reads only."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ...engine.api import Engine, EngineError, EngineUnreachable
from ...engine.cgroups import list_processes, select_own_groups
from ...engine.inspection import PATIENCE, get_first_pid, get_listed_name
from ...engine.records import read_records
from ...exposures.mounts import Mount, is_below, parse_mountinfo
from ...host.cgroup import find_pids_folder
from ...host.process_status import map_to_inside, parse_status, read_id_map
from ...host.root import Host

_HOST_CONFIG = ("CapAdd", "CapDrop", "GroupAdd", "IpcMode", "NetworkMode", "PidMode", "Privileged", "Tmpfs", "UsernsMode")
# File systems whose files have owners of this host. Others are named as not examined, but for those of the kernel and of containers.
_LOCAL = frozenset("bcachefs btrfs devtmpfs ext2 ext3 ext4 f2fs jfs ramfs reiserfs squashfs tmpfs xfs zfs".split())
_OWN = frozenset(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts efivarfs fusectl hugetlbfs mqueue nsfs overlay proc pstore rpc_pipefs"
    " securityfs selinuxfs sysfs tracefs".split()
)
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFREG: "file",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
}
_ACL = "system.posix_acl_access"
# Different owners and modes that are listed per path; and entries between checks of the clock.
_MAX_GROUPS = 400
_STRIDE = 256


def observe_containers(host: Host, engine: Engine) -> list[dict[str, Any]]:
    """Return all containers, running or not, sorted by name. Raises EngineError, EngineUnreachable.

    runs: whether it runs or is being restarted. config, host: parts of `Config` and `HostConfig`. uids, gids: of its processes, as it sees them.
    mounts: `source` (a path of the host; empty for another volume), `writable`, `volume` and `type` of volumes that are not in the engine's
    data root. devices: paths. error: why the engine does not report it.
    """
    temporary = read_records(host)
    volumes = {entry["Name"]: entry for entry in (engine.get("/volumes") or {}).get("Volumes") or []}
    listed = [e for e in engine.get("/containers/json", all="1") or [] if not any(record.has_container(e) for record in temporary)]
    return sorted((_observe_container(host, engine, entry, volumes) for entry in listed), key=lambda c: str(c["name"]))


def _observe_container(host: Host, engine: Engine, entry: Mapping[str, Any], volumes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": entry["Id"],
        "name": get_listed_name(entry),
        "runs": entry.get("State") in ("running", "paused", "restarting"),
    }
    found |= {"error": "", "config": {}, "host": {}, "uids": [], "gids": [], "mounts": [], "devices": []}
    try:
        inspect = engine.get_within(PATIENCE, f"/containers/{entry['Id']}/json")
    except (EngineError, EngineUnreachable) as error:
        return {**found, "error": str(error)}
    config = inspect.get("HostConfig") or {}
    uids, gids = _read_ids(host, get_first_pid(inspect), entry["Id"])
    return {
        **found,
        "config": {"User": (inspect.get("Config") or {}).get("User") or ""},
        "host": {key: config[key] for key in _HOST_CONFIG if key in config},
        "uids": sorted(uids),
        "gids": sorted(gids),
        "mounts": [mount for given in inspect.get("Mounts") or () if (mount := _describe_mount(given, volumes))],
        "devices": sorted({device["PathOnHost"] for device in config.get("Devices") or () if device.get("PathOnHost")}),
    }


def _describe_mount(given: Mapping[str, Any], volumes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a mount uses of the host; None for a volume in the engine's data root."""
    writable = bool(given.get("RW"))
    if given.get("Type") == "bind":
        return {"source": given.get("Source") or "", "writable": writable, "volume": "", "type": "bind"}
    if given.get("Type") != "volume":
        return None
    volume = volumes.get(given.get("Name") or "") or {}
    options, driver = volume.get("Options") or {}, given.get("Driver") or volume.get("Driver") or "local"
    if driver == "local" and not (options.get("device") or options.get("type")):
        return None
    is_bind = driver == "local" and "bind" in str(options.get("o")).replace("rbind", "bind").split(",")
    if driver == "local" and options.get("type") == "tmpfs":
        return None
    kind = driver if driver != "local" else str(options.get("type") or "bind")
    return {"source": options["device"] if is_bind else "", "writable": writable, "volume": given.get("Name"), "type": kind}


def _read_ids(host: Host, pid: int, identifier: str) -> tuple[set[int], set[int]]:
    """Return user and group IDs of a container's processes, as it sees them; empty sets when it does not run."""
    uids: set[int] = set()
    gids: set[int] = set()
    try:
        folder = find_pids_folder(select_own_groups(host.read(f"/proc/{pid}/cgroup") or "", identifier)) if pid else None
    except OSError:
        folder = None
    for process in (list_processes(host, folder) or [pid]) if folder else ():
        try:
            status = parse_status(host.read(f"/proc/{process}/status") or "")
            maps = [read_id_map(host, process, name) for name in ("uid_map", "gid_map")]
        except (OSError, ValueError):  # it has ended
            continue
        uids |= {inside for number in status.get("uid", ()) if (inside := map_to_inside(number, maps[0])) is not None}
        both = [*status.get("gid", ()), *status.get("groups", ())]
        gids |= {inside for number in both if (inside := map_to_inside(number, maps[1])) is not None}
    return uids, gids


def observe_paths(host: Host, paths: set[str], data_root: str, seconds: float = math.inf) -> dict[str, dict[str, Any]]:
    """Return path -> who may access it and what is below it. seconds: after which nothing more is read; each path gets its share of them.

    kind: folder, file, socket, device, pipe, `missing` or `remote` (of another host). entries: one per kind, owner and mode, the path itself
    first: `path` (the first one found), `kind`, `uid`, `gid`, `mode`, `acl` (None if it could not be read) and `count`. more: whether there are
    more kinds than listed. skipped: mount points that were not examined. unread: where reading ended because of the time; errors: messages.
    """
    deadline = time.monotonic() + seconds
    mounts = parse_mountinfo(host.read("/proc/self/mountinfo") or "")
    # The root of a host and the like come last, and no path uses up the time of those after it.
    ordered = sorted(paths, key=lambda path: (-path.rstrip("/").count("/"), path))
    found = {}
    for number, path in enumerate(ordered):
        now = time.monotonic()
        found[path] = _observe_path(host, path, mounts, data_root, now + (deadline - now) / (len(ordered) - number))
    return found


def _observe_path(host: Host, path: str, mounts: list[Mount], data_root: str, deadline: float) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": "missing", "entries": [], "more": False, "skipped": [], "unread": "", "errors": []}
    real = "/" + os.path.relpath(os.path.realpath(host.path(path)), host.root) if host.root != Host().root else os.path.realpath(path)
    covering = max((m for m in mounts if is_below(real, m.point)), key=lambda m: len(m.point), default=None)
    if covering and covering.type not in _LOCAL | _OWN:
        return {**found, "kind": "remote", "skipped": [f"{covering.point} ({covering.type})"]}
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    tops = [real]
    is_walked = not covering or covering.type in _LOCAL | {"overlay"}  # the root of a host may be an overlay
    if is_walked:
        below = {m.point: m.type for m in mounts if m.point != real and is_below(m.point, real)}
        below = {point: kind for point, kind in below.items() if not is_below(point, data_root) or is_below(real, data_root)}
        tops += [point for point, kind in below.items() if kind in _LOCAL]
        found["skipped"] = [f"{point} ({kind})" for point, kind in below.items() if kind not in _LOCAL | _OWN]
    points = {mount.point for mount in mounts}
    for top in tops:
        for number, (entry, status) in enumerate(_walk(host, top, data_root if data_root != real else "", points, found["errors"])):
            _add_entry(host, groups, entry, status, found)
            if not is_walked:
                break
            if number % _STRIDE == 0 and time.monotonic() > deadline:
                found["unread"] = entry
                break
        if found["unread"]:
            break
    if groups:
        found["entries"] = list(groups.values())
        found["kind"] = found["entries"][0]["kind"]
    return found


def _walk(host: Host, top: str, data_root: str, points: set[str], errors: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield a path and what is below it in the same file system, without links and without the engine's data. points: mount points."""
    try:
        status = os.lstat(host.path(top))
    except FileNotFoundError:
        return
    except OSError as error:
        errors.append(str(error))
        return
    device, pending, prefix = status.st_dev, [top], str(host.root).rstrip("/")
    yield top, status
    while stat.S_ISDIR(status.st_mode) and pending:
        folder = pending.pop()
        try:
            names = sorted(os.listdir(prefix + folder))
        except FileNotFoundError:
            continue
        except OSError as error:
            errors.append(str(error))
            continue
        folders = []
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            try:
                about = os.lstat(prefix + path)
            except OSError:
                continue
            if about.st_dev != device and path not in points:
                errors.append(f"{path}, which is another file system")  # such as a subvolume of btrfs
            if about.st_dev != device or stat.S_ISLNK(about.st_mode) or path == data_root:
                continue
            yield path, about
            if stat.S_ISDIR(about.st_mode):
                folders.append(path)
        pending += reversed(folders)


def _add_entry(host: Host, groups: dict[tuple[Any, ...], dict[str, Any]], path: str, status: os.stat_result, found: dict[str, Any]) -> None:
    kind, mode = _KINDS.get(stat.S_IFMT(status.st_mode), "file"), stat.S_IMODE(status.st_mode)
    key = (kind, status.st_uid, status.st_gid, mode, _has_acl(host, path))
    if key in groups:
        groups[key]["count"] += 1
    elif len(groups) < _MAX_GROUPS:
        groups[key] = {"path": path, **dict(zip(("kind", "uid", "gid", "mode", "acl"), key, strict=True)), "count": 1}
    else:
        found["more"] = True


def _has_acl(host: Host, path: str) -> bool | None:
    try:
        return _ACL in os.listxattr(str(host.root).rstrip("/") + path, follow_symlinks=False)
    except OSError as error:
        return False if error.errno in (2, 95) else None  # ENOENT: removed meanwhile; EOPNOTSUPP: a file system without them
