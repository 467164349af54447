# SPDX-License-Identifier: GPL-3.0-or-later
"""The program dockerd: its path, and which keys of daemon.json it may know, without running it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .processes import PLACES

# A key of daemon.json that tutorials name for the default PIDs limit, and that no release of moby has.
PIDS_KEY = "default-pids-limit"


def find_dockerd(known: str = "") -> str | None:
    """Return the path of dockerd: `known` (of the process, or the unit), otherwise the first of the usual paths; None when not installed."""
    for place in (known, *PLACES):
        if place.startswith("/") and os.access(place, os.X_OK):
            return place
    return None


def contains_text(program: str, key: str) -> bool:
    """Return whether the program's file contains this text. A Go program contains the names of its flags and JSON keys literally, so `False`
    is certain; `True` may be a coincidence, which the validation before a change finds."""
    with open(program, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as image:
        return image.find(key.encode()) >= 0


def identify_program(program: str) -> dict[str, Any]:
    """Return path, size and mtime, which differ after the program is replaced."""
    status = Path(program).stat()
    return {"path": program, "size": status.st_size, "mtime": int(status.st_mtime)}


def recall_known_keys(remembered: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return dockerd's identity and whether it knows `key`, from memory (the state file) when it is the same program; empty without dockerd.

    Otherwise the whole program, 100 MB, has to be read.
    """
    program = find_dockerd()
    if program is None:
        return {}
    identity, before = identify_program(program), remembered.get("dockerd", {})
    if {name: before.get(name) for name in identity} == identity:
        return dict(before)
    return {**identity, "knows": {key: contains_text(program, key)}}
