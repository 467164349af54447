# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups of the host: those in the files, and single ones of name services."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from ..host.root import Host

SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"
PASSWD, GROUP, LOGIN_DEFS = "/etc/passwd", "/etc/group", "/etc/login.defs"
DEFAULT_LOWEST = 100000  # login.defs: SUB_UID_MIN


def parse_ids(text: str) -> dict[str, int]:
    """Return name -> ID of a passwd or group file. Of a repeated name the first line counts, as for getpwnam(3)."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[0] and fields[2].isascii() and fields[2].isdigit():
            found.setdefault(fields[0], int(fields[2]))
    return found


def parse_lowest(login_defs: str) -> int:
    """Return the first subordinate ID for users and groups (man 5 login.defs)."""
    return max(map(int, re.findall(r"(?m)^\s*SUB_[UG]ID_MIN\s+([0-9]+)(?!\S)", login_defs)), default=DEFAULT_LOWEST)


def parse_id(text: str) -> int | None:
    """Return the ID that a part of `userns-remap` is (moby daemon/daemon_unix.go: ParseInt); None for a name."""
    return int(text) if re.fullmatch(r"\+?0*[0-9]{1,10}", text) and int(text) < 1 << 31 else None


def find_account(name: str, group: bool = False) -> list[Any]:
    """Return name, ID and a user's primary group; empty if unknown."""
    import grp
    import pwd

    number = parse_id(name)
    with suppress(KeyError, ValueError):
        if group:
            return list((grp.getgrnam(name) if number is None else grp.getgrgid(number))[:3:2])
        return [(user := pwd.getpwnam(name) if number is None else pwd.getpwuid(number)).pw_name, user.pw_uid, user.pw_gid]
    return []


def find_named(host: Host, setting: Any) -> dict[str, dict[str, list[Any]]]:
    """Return the accounts in a value of `userns-remap`, by what was asked: `users` has name, UID and GID, `groups` name and GID."""
    user, unused, group = str(setting or "").partition(":")
    user = "dockremap" if user == "default" else user
    if host.root != Host().root or not user:
        return {"users": {}, "groups": {}}
    row = find_account(user)
    return {"users": {user: row}, "groups": {name: find_account(name, True) for name in (group or user, *map(str, row[2:]))}}
