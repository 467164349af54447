# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps its files.

Machines live under ``.lab/`` of the checkout, which keeps itself out of git. Images are in the
user's cache, so that all checkouts share them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parent.parent
GUEST_FILES = Path(__file__).resolve().parent / "guest"
PACKAGE_LISTS = Path(__file__).resolve().parent

# A machine's name is a host name, an Ansible inventory name and a folder at once.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED = frozenset({"cache", "locks", "all", "ungrouped", "localhost"})


def lab_dir() -> Path:
    """Return ``.lab/``, which is created on first use with a .gitignore for all that is in it."""
    directory = REPOSITORY / ".lab"
    directory.mkdir(exist_ok=True)
    ignore = directory / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")
    return directory


def cache_dir() -> Path:
    """Return the folder of the images: ``BULKHEAD_CACHE``, else ``bulkhead`` in the user's cache (XDG Base Directory Specification)."""
    chosen = os.environ.get("BULKHEAD_CACHE")
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    directory = Path(chosen or f"{user}/bulkhead").expanduser().resolve()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def lock_path(name: str) -> Path:
    """Return the lock file of one machine; it outlives the machine's own folder."""
    directory = lab_dir() / "locks"
    directory.mkdir(exist_ok=True)
    return directory / name


def machine_dir(name: str) -> Path:
    """Return the folder of one machine (it need not exist)."""
    return lab_dir() / check_name(name)


def machine_names() -> list[str]:
    """Return the names that have a folder, whether or not the machine still runs."""
    return sorted(
        entry.name for entry in lab_dir().iterdir() if entry.is_dir() and entry.name not in _RESERVED and _NAME.fullmatch(entry.name)
    )


def check_name(name: str) -> str:
    """Return ``name`` if a machine can be called so, otherwise say what to write."""
    if name in _RESERVED:
        raise LabError(f"a machine cannot be called {name!r}: the name is taken; choose another")
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is not a machine name; use lower-case letters, digits and inner hyphens, at most 63")
    return name
