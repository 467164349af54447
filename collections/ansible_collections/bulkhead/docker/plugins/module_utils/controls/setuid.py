# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches the files of images for setuid and setgid programs. It takes minutes for large images, so it has to be asked for."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..engine.inspection import list_tags
from ..host.root import Host

# Seconds for all images.
BUDGET = 600.0
_MAX_FILES = 50  # names per image
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")  # Documentation/filesystems/overlayfs.rst; of rootless engines the second


class _TimeIsUp(Exception):
    """The search takes too long."""


def search_images(host: Host, get: Callable[..., Any]) -> dict[str, Any]:
    """Return `images`: ID, tags, and `files` of each; and `unread`: names of the images that could not be searched. get: of the engine's API."""
    until, known = time.monotonic() + BUDGET, dict[str, list[str]]()
    images, unread = [], []
    for entry in get("/images/json"):
        tags = list_tags(entry)
        try:
            layers = _find_layers(host, get(f"/images/{entry['Id']}/json"))
            files = list(_list_programs(layers, known, until))
        except (OSError, ValueError, _TimeIsUp):
            unread.append(tags[0] if tags else entry["Id"])
            continue
        images.append({"id": entry["Id"], "tags": tags, "files": files[:_MAX_FILES], "more": max(0, len(files) - _MAX_FILES)})
    return {"images": images, "unread": unread}


def _find_layers(host: Host, inspect: dict[str, Any]) -> list[Path]:
    """Return the folders of an image's layers, the upper one first. Raises ValueError for another storage than overlay2."""
    driver = inspect.get("GraphDriver") or {}
    data = driver.get("Data") or {}
    if driver.get("Name") not in ("overlay2", "fuse-overlayfs") or "UpperDir" not in data:
        raise ValueError("the storage shows no folders of layers")
    found = [host.path(folder) for folder in (data["UpperDir"], *filter(None, (data.get("LowerDir") or "").split(":")))]
    if any(not folder.is_dir() or os.path.realpath(folder) != str(folder) for folder in found):
        raise ValueError("a folder of a layer does not exist, or is a link")
    return found


def _list_programs(layers: Sequence[Path], known: dict[str, list[str]], until: float) -> Iterator[str]:
    """Yield the paths of programs that no upper layer replaces or removes. known: layers that another image has too."""
    for position, layer in enumerate(layers):
        if str(layer) not in known:
            known[str(layer)] = sorted(_walk(layer, until))
        for path in known[str(layer)]:
            if not any(_is_hidden(upper, path) for upper in layers[:position]):
                yield f"/{path}"


def _walk(layer: Path, until: float) -> Iterator[str]:
    waiting = [str(layer)]
    while waiting:
        if time.monotonic() > until:
            raise _TimeIsUp
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mode & (stat.S_ISUID | stat.S_ISGID):
                    yield os.path.relpath(entry.path, layer)


def _is_hidden(upper: Path, path: str) -> bool:
    """Return whether a layer has another file in this place, or hides the folder that has it: by a file, a whiteout, or an opaque folder."""
    place = upper
    for part in Path(path).parts:
        place = place / part
        try:
            mode = place.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISDIR(mode) or any(_read_attribute(place, name) == b"y" for name in _OPAQUE):
            return True
    return True


def _read_attribute(path: Path, name: str) -> bytes:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return b""
