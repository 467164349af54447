# SPDX-License-Identifier: GPL-3.0-or-later
"""The dockerd processes of a host, by the kernel's word."""

from __future__ import annotations

from typing import Any

from ..host.process import parse_id_map, parse_status
from ..host.root import Host


def read_command(host: Host, pid: int | str) -> str:
    """The name that the kernel shows for a process; empty for one that ended, also between open and read (ESRCH)."""
    try:
        return (host.read(f"/proc/{pid}/comm") or "").strip()
    except ProcessLookupError:
        return ""


def list_dockerds(host: Host) -> list[dict[str, Any]]:
    """Every dockerd on the host: who owns it, and whether it lives in a user namespace of its own (rootless).

    One that has neither that nor root's rights is something else of that name: dockerd refuses to start so (moby cmd/dockerd/daemon.go).
    """
    found = []
    for entry in host.path("/proc").iterdir():
        if not entry.name.isdigit() or read_command(host, entry.name) != "dockerd":
            continue
        try:
            status = parse_status(host.read(f"/proc/{entry.name}/status") or "")
            uid_map = parse_id_map(host.read(f"/proc/{entry.name}/uid_map") or "")
            argv = (host.read(f"/proc/{entry.name}/cmdline") or "").strip("\0").split("\0")
        except OSError:  # it ended while we looked
            continue
        rootless = bool(uid_map) and uid_map[0][:2] != [0, 0]
        if "uid" in status and (rootless or status["uid"][0] == 0):
            found.append({"pid": int(entry.name), "uid": status["uid"][0], "uid_map": uid_map, "argv": argv, "rootless": rootless})
    return sorted(found, key=lambda d: d["pid"])
