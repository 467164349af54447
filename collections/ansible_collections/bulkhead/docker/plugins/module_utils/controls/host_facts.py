# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads facts of the host that no layer needs: mounts, groups, sockets in the kernel, and packages."""

from __future__ import annotations

import os
import re
import socket
import subprocess

from ..engine.processes import read_command
from ..exposures.mounts import is_below, parse_mountinfo
from ..host.root import Host

_LISTEN = "0A"  # include/net/tcp_states.h
_PROXY = "docker-proxy"


def read_mount(host: Host, path: str) -> dict[str, str]:
    """Return `path` (without links) and the mount that has it: `point`, `type`."""
    real = os.path.realpath(host.path(path))
    shown = "/" + real.removeprefix(str(host.root)).lstrip("/")
    covering = [mount for mount in parse_mountinfo(host.read("/proc/1/mountinfo") or "") if is_below(shown, mount.point)]
    if not covering:
        raise OSError(2, "no mount has this path", path)
    mount = max(enumerate(covering), key=lambda item: (len(item[1].point), item[0]))[1]
    return {"path": shown, "point": mount.point, "type": mount.type}


def list_group_members(host: Host, name: str) -> list[str] | None:
    """Return the users of a group in /etc/group, and those whose primary group it is; None without the group."""
    rows = [line.split(":") for line in (host.read("/etc/group") or "").splitlines()]
    row = next((row for row in rows if row[0] == name and len(row) > 3), None)
    if row is None:
        return None
    users = [line.split(":") for line in (host.read("/etc/passwd") or "").splitlines()]
    primary = [user[0] for user in users if len(user) > 3 and user[3] == row[2]]
    return sorted({*primary, *(member for member in row[3].split(",") if member)})


def list_tcp_sockets(host: Host, pid: int) -> list[str]:
    """Return the addresses on which a process listens by TCP, from the kernel's tables and its open files. Raises OSError."""
    own = {host.read_link(f"/proc/{pid}/fd/{name}") for name in os.listdir(host.join(f"/proc/{pid}/fd"))}
    found = []
    for table in ("tcp", "tcp6"):
        for line in (host.read(f"/proc/{pid}/net/{table}") or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN and f"socket:[{fields[9]}]" in own:
                found.append(decode_address(fields[1]))
    return sorted(set(found))


def decode_address(text: str) -> str:
    """Return `0100007F:0947` of /proc/net/tcp as `127.0.0.1:2375` (man 5 proc_pid_net: numbers of 32 bits in the host's byte order)."""
    address, port = text.split(":")
    words = [int(address[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(address), 8)]
    raw = b"".join(words)
    if len(raw) == 4:
        return f"{'.'.join(map(str, raw))}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]:{int(port, 16)}"


def count_proxies(host: Host) -> int:
    """Return how many processes of the engine's userland proxy run."""
    return sum(read_command(host, pid) == _PROXY for pid in filter(str.isdigit, os.listdir(host.join("/proc"))))


def read_package(name: str) -> dict[str, str]:
    """Return `installed` and `candidate` of a Debian package by its package sources. Raises OSError without apt."""
    done = subprocess.run(
        ["apt-cache", "policy", name], capture_output=True, text=True, timeout=30, check=False, env={"PATH": os.defpath, "LC_ALL": "C"}
    )
    found = dict(re.findall(r"(?m)^\s+(Installed|Candidate): (\S+)", done.stdout))
    if len(found) < 2:
        raise OSError(2, f"apt-cache does not know package {name}")
    return {"installed": found["Installed"], "candidate": found["Candidate"]}


def read_content_trust(host: Host) -> str | None:
    """Return the value that /etc/environment gives every session for DOCKER_CONTENT_TRUST; None without one."""
    match = re.search(r"(?m)^\s*(?:export\s+)?DOCKER_CONTENT_TRUST=[\"']?([^\"'\s]*)", host.read("/etc/environment") or "")
    return match[1] if match else None
