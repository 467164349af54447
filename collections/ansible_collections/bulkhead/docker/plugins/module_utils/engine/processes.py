# SPDX-License-Identifier: GPL-3.0-or-later
"""The dockerd processes of a host, from /proc."""

from __future__ import annotations

from typing import Any

from ..host.cgroup import find_container_group
from ..host.process_status import parse_id_map, parse_status
from ..host.root import Host


def read_command(host: Host, pid: int | str) -> str:
    """Return the name of a process; empty when it has ended, also between open and read (ESRCH)."""
    try:
        return (host.read(f"/proc/{pid}/comm") or "").strip()
    except ProcessLookupError:
        return ""


def list_dockerds(host: Host) -> list[dict[str, Any]]:
    """Return every dockerd: its pid, uid, uid_map, argv, and whether it runs in its own user namespace (rootless).

    A process of that name with neither a namespace nor root's rights is not dockerd, which needs one of them (moby cmd/dockerd/daemon.go).
    A process in a container is not an engine of this host. It has another PID namespace, or the control group of a container.
    """
    found, own = [], host.read_link("/proc/1/ns/pid")
    for entry in host.path("/proc").iterdir():
        if not entry.name.isdigit() or read_command(host, entry.name) != "dockerd":
            continue
        try:
            status = parse_status(host.read(f"/proc/{entry.name}/status") or "")
            uid_map = parse_id_map(host.read(f"/proc/{entry.name}/uid_map") or "")
            if find_container_group(host.read(f"/proc/{entry.name}/cgroup") or "") or host.read_link(f"/proc/{entry.name}/ns/pid") != own:
                continue
            argv = (host.read(f"/proc/{entry.name}/cmdline") or "").strip("\0").split("\0")
        except OSError:  # it ended meanwhile
            continue
        rootless = bool(uid_map) and uid_map[0][:2] != [0, 0]
        if "uid" in status and (rootless or status["uid"][0] == 0):
            found.append({"pid": int(entry.name), "uid": status["uid"][0], "uid_map": uid_map, "argv": argv, "rootless": rootless})
    return sorted(found, key=lambda d: d["pid"])
