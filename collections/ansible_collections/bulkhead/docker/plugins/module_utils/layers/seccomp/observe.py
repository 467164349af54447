# SPDX-License-Identifier: GPL-3.0-or-later
"""Seccomp profiles on the host: the files, and which of them are ours."""

from __future__ import annotations

from typing import Any

from ...host import state
from ...host.files import sha256
from ...host.root import Host

DIRECTORY = "/etc/docker/seccomp"
STATE = "seccomp"


def observe(host: Host) -> dict[str, Any]:
    """in_kernel: whether the kernel filters at all. files: path → sha256, mtime, mode, uid, and for ours the text.
    managed: path → sha256 as we wrote it; error: why that could not be read.
    """
    found: dict[str, Any] = {
        "in_kernel": bool(host.read("/proc/sys/kernel/seccomp/actions_avail")),
        "files": {},
        "managed": {},
        "error": None,
    }
    try:
        found["managed"] = dict(state.load(host, STATE).get("profiles", {}))
    except (OSError, ValueError) as error:
        found["error"] = str(error)
    folders = {DIRECTORY, *(path.rpartition("/")[0] for path in found["managed"])}
    for folder in sorted(folders):
        if host.path(folder).is_dir():
            for entry in sorted(host.path(folder).glob("*.json")):
                path = f"{folder}/{entry.name}"
                found["files"][path] = _read_profile_file(host, path, path in found["managed"])
    return found


def _read_profile_file(host: Host, path: str, ours: bool) -> dict[str, Any]:
    try:
        status = host.path(path).stat()
        text = host.read(path) or ""
    except FileNotFoundError:  # a link to nothing, or removed while we looked
        return {"sha256": None, "error": "it points at nothing"}
    except OSError as error:
        return {"sha256": None, "error": str(error)}
    found = {"sha256": sha256(text), "mtime": status.st_mtime, "mode": status.st_mode & 0o7777, "uid": status.st_uid, "error": None}
    return {**found, "text": text} if ours else found
