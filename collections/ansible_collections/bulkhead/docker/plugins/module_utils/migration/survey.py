# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects what a migration needs to know of an engine's plain root: for the plan, and again before anything is copied. Reads only."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..host.data_root import find_other_entries
from ..host.root import Host
from . import layout
from .ids import UNCHANGED, IdMaps
from .roots import read_mount_points
from .walk import TreeSurvey

# Attempts, a second apart, before an inconsistency in a root that is in use counts as damage.
_ATTEMPTS = 5
_Found = TypeVar("_Found")


def read_facts(host: Host, source: Path, draft: Path, ids: IdMaps, deadline: float = math.inf, store: Path | None = None) -> dict[str, Any]:
    """Return what is to be copied, and what is in the way of that. Raises OSError, ValueError.

    draft: the folder of the copy. store: the view of images in containerd, if they are there.
    deadline: monotonic time by which owners are to be read; what is not read by then is in `unread`.

    ignored: path -> why the engine ignores it. containers: for `obstacles.find_unstartable`, and whether each one `runs`. attached: volumes on
    which the host mounts something. apart: folders on another disk. copied: bytes that an interrupted run has left. From `TreeSurvey`: the rest.
    """
    store = store or source
    damaged, ignored = _read_layout(source, store)
    mounted = set(read_mount_points(host))
    survey = TreeSurvey(deadline=deadline, longer=len(draft.name) + 1)
    attached = []
    pieces = layout.list_other_pieces if damaged else layout.list_pieces
    for part in (part for piece in _retry(lambda: pieces(source, store)) for part in piece.parts):
        if source / part.path in mounted and part.path.startswith("volumes/"):
            if _is_mount_point(source, part.path):
                continue  # the engine unmounts it when the containers stop
            attached.append(_name_path(host, source / part.path))
        survey.add(str(layout.locate(source, store, part.path)), ids if part.content else UNCHANGED)
    disk = os.statvfs(source)
    return {
        "root": _name_path(host, source),
        "first": ids.map_uid(0),
        "others": find_other_entries(source, frozenset({"plugins", "swarm"})),
        "links": [(_name_path(host, path), os.readlink(path)) for path in layout.list_linked_volumes(source)],
        "ignored": ignored,
        "damaged": damaged,
        "containers": [_describe_container(*definition) for definition in _retry(lambda: list(layout.read_definitions(source, store)))],
        "attached": attached,
        "apart": [name for name in (layout.DRIVER, "containers", "volumes", "image") if _is_apart(source, name)],
        **{key: getattr(survey, key) for key in ("bytes", "inodes", "unmapped", "size", "mounts", "errors", "unread")},
        "free": disk.f_bavail * disk.f_frsize,
        "free_inodes": disk.f_favail if disk.f_files else None,
        "copied": _measure_size(draft) if draft.exists() else 0,
    }


def _read_layout(source: Path, store: Path) -> tuple[list[str], dict[str, str]]:
    """Return what is damaged and what is ignored, for good: containers may be half created or half removed while the engine runs."""
    found = layout.find_damage(source, store), layout.find_ignored(source, store)
    for _attempt in range(_ATTEMPTS - 1):
        if not any(found):
            break
        time.sleep(1)
        before, found = found, (layout.find_damage(source, store), layout.find_ignored(source, store))
        if found == before and not found[0]:
            break
    return found


def _retry(read: Callable[[], _Found]) -> _Found:
    """Read a root whose engine runs, repeatedly while it is inconsistent. Raises FileNotFoundError, ValueError if the state persists."""
    for _attempt in range(_ATTEMPTS):
        try:
            return read()
        except (FileNotFoundError, ValueError):
            time.sleep(1)
    return read()


def _describe_container(name: str, configuration: dict[str, Any], host: dict[str, Any]) -> dict[str, Any]:
    state = configuration.get("State") or {}
    return {
        "id": name,
        "name": configuration.get("Name", name).lstrip("/"),
        "runs": any(state.get(key) for key in ("Running", "Paused", "Restarting")),
        "config": {"User": (configuration.get("Config") or {}).get("User", "")},
        "host": {key: host.get(key) for key in ("GroupAdd", "IpcMode", "NetworkMode", "PidMode", "Privileged", "Tmpfs", "UsernsMode")},
    }


def _is_mount_point(source: Path, path: str) -> bool:
    try:
        return layout.is_mount_point(source, path)
    except (ValueError, AttributeError):  # damaged options, which are reported
        return False


def _is_apart(source: Path, name: str) -> bool:
    """Return whether a folder of the root, or what a link there names, is on another disk."""
    return (source / name).exists() and (source / name).stat().st_dev != source.stat().st_dev


def _name_path(host: Host, path: Path) -> str:
    """Return a path as the host names it."""
    return "/" + str(path.relative_to(host.root))


def _measure_size(folder: Path) -> int:
    return sum(os.lstat(os.path.join(top, name)).st_blocks * 512 for top, _folders, names in os.walk(folder) for name in names)
