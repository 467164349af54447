# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses files of /proc/PID: status, and the maps of user namespaces. Pure."""

from __future__ import annotations

from typing import Any

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


def map_to_inside(outside: int, id_map: list[list[int]]) -> int | None:
    """Return the ID inside a user namespace with this map of an ID on the host; None if the map has none."""
    for first_inside, first_outside, count in id_map:
        if first_outside <= outside < first_outside + count:
            return first_inside + outside - first_outside
    return None
