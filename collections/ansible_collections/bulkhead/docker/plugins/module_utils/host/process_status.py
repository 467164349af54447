# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses files of /proc/PID: status, and the maps of user namespaces."""

from __future__ import annotations

from typing import Any

from .root import Host

_NUMBERS = {
    "TracerPid": "tracer",
    "Threads": "threads",
    "NoNewPrivs": "no_new_privs",
    "Seccomp": "seccomp",
    "Seccomp_filters": "seccomp_filters",
}
_IDS = {"Uid": "uid", "Gid": "gid", "Groups": "groups"}
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def parse_status(text: str) -> dict[str, Any]:
    """Return the security fields of /proc/PID/status (man 5 proc_pid_status).

    uid, gid: [real, effective, saved, file system]. groups: the supplementary ones. cap: sets as numbers. command, state: its name, and one letter.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    found: dict[str, Any] = {key: [int(n) for n in fields[field].split()] for field, key in _IDS.items() if field in fields}
    found.update((key, int(fields[field])) for field, key in _NUMBERS.items() if field in fields)
    caps = {key[3:].lower(): int(fields[key], 16) for key in _CAPABILITIES if key in fields}
    if caps:
        found["cap"] = caps
    if "Name" in fields:
        found["command"] = fields["Name"].strip()
    if "State" in fields:
        found["state"] = fields["State"].strip()[:1]
    return found


def parse_id_map(text: str) -> list[list[int]]:
    """Return the rows of /proc/PID/uid_map: [first ID inside, first ID outside, count] (man 7 user_namespaces)."""
    return [[int(n) for n in line.split()] for line in text.splitlines() if line.strip()]


def read_id_map(host: Host, pid: int | str, name: str = "uid_map") -> list[list[int]]:
    """Return the map of a process to the IDs of the host. Raises OSError, ValueError."""
    text = host.read(f"/proc/{pid}/{name}") or ""
    return relate_id_map(text, host.read_link(f"/proc/{pid}/ns/user"), host.read_link("/proc/1/ns/user"))


def relate_id_map(text: str, namespace: str | None, host: str | None) -> list[list[int]]:
    """Return the rows of a map to the IDs of the host. namespace, host: user namespaces of the process and of the host.

    A host in a user namespace (an unprivileged LXC) reads the map to its parent's IDs from its own processes (man 7 user_namespaces).
    """
    rows = parse_id_map(text)
    return [[0, 0, 2**32 - 1]] if rows and namespace and namespace == host else rows


def map_to_inside(outside: int, id_map: list[list[int]]) -> int | None:
    """Return the ID inside a user namespace with this map of an ID on the host; None if the map has none."""
    for first_inside, first_outside, count in id_map:
        if first_outside <= outside < first_outside + count:
            return first_inside + outside - first_outside
    return None
