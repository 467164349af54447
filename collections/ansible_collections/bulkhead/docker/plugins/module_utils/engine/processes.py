# SPDX-License-Identifier: GPL-3.0-or-later
"""The dockerd processes of a host, from /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..host.cgroup import find_container_group
from ..host.process_status import parse_status, read_id_map
from ..host.root import Host
from .instance import Instance

SERVICE = "docker.service"
# Where dockerd is, of Debian's docker.io and docker-ce; then of builds by administrators.
PLACES = ("/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd", "/usr/local/sbin/dockerd", "/opt/bin/dockerd")
# A listening socket (SO_ACCEPTCON) with a path: inode and path (net/unix/af_unix.c, unix_seq_show).
_LISTENING = re.compile(r"[0-9a-f]+: \S+ \S+ 00010000 0001 01 +(\d+) (/.*)")
# What dockerd opens besides its API, below its exec-root (moby daemon/metrics_unix.go, libnetwork/sandbox_externalkey_unix.go).
_OTHER = re.compile(r"/(metrics|libnetwork/\w+)\.sock")


def read_command(host: Host, pid: int | str) -> str:
    """Return the name of a process; empty when it has ended, also between open and read (ESRCH)."""
    try:
        return (host.read(f"/proc/{pid}/comm") or "").strip()
    except ProcessLookupError:
        return ""


def list_dockerds(host: Host) -> list[dict[str, Any]]:
    """Return every dockerd: its pid, uid, uid_map, argv, exe, systemd unit (empty without one), and whether it is rootless.

    The host itself may be in a user namespace (an unprivileged LXC), so namespaces are compared, not their maps.
    A process of that name with neither a namespace nor root's rights is not dockerd, which needs one of them (moby cmd/dockerd/daemon.go).
    A process in a container is not an engine of this host. It has another PID namespace, or the control group of a container.
    """
    found, own, user = [], host.read_link("/proc/1/ns/pid"), host.read_link("/proc/1/ns/user")
    for pid in filter(str.isdigit, os.listdir(host.join("/proc"))):
        if read_command(host, pid) != "dockerd":
            continue
        try:
            status = parse_status(host.read(f"/proc/{pid}/status") or "")
            uid_map = read_id_map(host, pid)
            groups = host.read(f"/proc/{pid}/cgroup") or ""
            if find_container_group(groups) or host.read_link(f"/proc/{pid}/ns/pid") != own:
                continue
            argv = (host.read(f"/proc/{pid}/cmdline") or "").strip("\0").split("\0")
        except OSError:  # it ended meanwhile
            continue
        namespace = host.read_link(f"/proc/{pid}/ns/user")
        rootless = namespace != user if namespace and user else bool(uid_map) and uid_map[0][:2] != [0, 0]
        if "uid" in status and (rootless or status["uid"][0] == 0):
            exe = (host.read_link(f"/proc/{pid}/exe") or "").removesuffix(" (deleted)")
            ids = {"pid": int(pid), "uid": status["uid"][0], "uid_map": uid_map}
            found.append({**ids, "argv": argv, "rootless": rootless, "exe": exe, "unit": _find_unit(groups)})
    return sorted(found, key=lambda d: d["pid"])


def _find_unit(cgroup_file: str) -> str:
    units: list[str] = re.findall(r"/([^/\n]+\.(?:service|scope))(?![^/\n])", cgroup_file)
    return SERVICE if SERVICE in units else next(reversed(units), "")


def find_process(daemons: Iterable[dict[str, Any]], instance: Instance) -> dict[str, Any] | None:
    """Return the process of one engine, that of docker.service before others; None when it does not run."""
    return min(filter(instance.owns_process, daemons), key=lambda daemon: daemon.get("unit") != SERVICE, default=None)


def find_socket(host: Host, daemon: Mapping[str, Any], usual: str) -> str:
    """Return the path on which a dockerd listens, however it was named: flag, daemon.json, docker.socket.

    `usual` comes first, and is returned as well if no path is found: an engine that listens on TCP only, or a process that has ended.
    """
    found, folder = [], f"/proc/{daemon['pid']}"
    try:
        own = {host.read_link(f"{folder}/fd/{name}") for name in os.listdir(host.join(f"{folder}/fd"))}
        for line in (host.read(f"{folder}/net/unix") or "").split("\n"):
            match = _LISTENING.fullmatch(line)
            if match and f"socket:[{match[1]}]" in own and not _OTHER.search(match[2]):
                found.append(match[2])
    except OSError:
        return usual
    return usual if not found or {usual, usual.removeprefix("/var")} & set(found) else min(found)
