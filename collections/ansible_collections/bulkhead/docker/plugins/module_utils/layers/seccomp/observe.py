# SPDX-License-Identifier: GPL-3.0-or-later
"""Seccomp profiles on a host: the files, and which of them are managed."""

from __future__ import annotations

from typing import Any

from ...host.root import SECCOMP, Host, load_managed_profiles, sha256

DIRECTORY = "/etc/docker/seccomp"


def observe(host: Host) -> dict[str, Any]:
    """Return the state of seccomp.

    in_kernel: whether the kernel supports filters. files: path -> sha256, mtime, mode, uid, and the text of managed files. managed: path ->
    what is remembered. error: why that could not be read.
    """
    found: dict[str, Any] = {
        "in_kernel": bool(host.read("/proc/sys/kernel/seccomp/actions_avail")),
        "files": {},
        "managed": {},
        "error": None,
    }
    try:
        found["managed"] = load_managed_profiles(host, SECCOMP)
    except (OSError, ValueError) as error:
        found["error"] = str(error)
    folders = {DIRECTORY, *(path.rpartition("/")[0] for path in found["managed"])}
    for folder in sorted(folders):
        if host.path(folder).is_dir():
            for entry in sorted(host.path(folder).glob("*.json")):
                path = f"{folder}/{entry.name}"
                found["files"][path] = _read_profile_file(host, path, path in found["managed"])
    return found


def _read_profile_file(host: Host, path: str, is_managed: bool) -> dict[str, Any]:
    try:
        status = host.path(path).stat()
        text = host.read(path) or ""
    except FileNotFoundError:  # a dangling link, or removed meanwhile
        return {"sha256": None, "error": "its target does not exist"}
    except OSError as error:
        return {"sha256": None, "error": str(error)}
    found = {"sha256": sha256(text), "mtime": status.st_mtime, "mode": status.st_mode & 0o7777, "uid": status.st_uid, "error": None}
    return {**found, "text": text} if is_managed else found
