# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what planning needs beside the engine's configuration: the memory of managed keys, interrupted changes, and dockerd itself."""

from __future__ import annotations

import fcntl
import os
from typing import Any

from ..engine import program
from ..engine.instance import ROOTFUL, Instance
from ..host.root import Host, read_state
from .drop_in import PIDS_KEY
from .journals import list_open_ids


def observe_managed(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    """Return what Bulkhead manages for one engine. It runs no command.

    managed:     content of the engine's file in /var/lib/bulkhead (desired_files.py), managed_error when that is damaged
    interrupted: IDs of the changes of interrupted runs; the next daemon_config undoes them
    dockerd:     path, knows {key: bool}; path is None when it is not installed
    """
    host = instance.scope_host(host)
    managed, managed_error = _read_managed(host, instance)
    return {
        "managed": managed,
        "managed_error": managed_error,
        "interrupted": list_open_ids(host),
        "dockerd": program.recall_known_keys(managed, PIDS_KEY) or {"path": None, "knows": {}},
    }


def _read_managed(host: Host, instance: Instance) -> tuple[dict[str, Any], str | None]:
    try:
        return read_state(host, instance.subject), None
    except ValueError as error:
        return {}, str(error)


def explain_fixed(host: Host, path: str) -> str | None:
    """Return why not even root can replace the file (man 2 ioctl_iflags; 0x80086601 is FS_IOC_GETFLAGS); None when it can."""
    flags = bytearray(8)
    try:
        with host.as_owner(path), open(host.path(path), "rb", opener=lambda name, how: os.open(name, how | os.O_NONBLOCK)) as handle:
            fcntl.ioctl(handle, 0x80086601, flags)
    except OSError:  # a file system without such flags
        return None
    words = [letter for letter, bit in (("i", 0x10), ("a", 0x20)) if flags[0] & bit]
    return f"{path}: can't be changed, not even by root (chattr +{words[0]}); allow it with chattr -{words[0]} {path}" if words else None
