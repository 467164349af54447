# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's users and groups, for the allocation of subordinate ranges. Reads files only; directory.py has the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..host.root import Host

SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"
PASSWD, GROUP, LOGIN_DEFS = "/etc/passwd", "/etc/group", "/etc/login.defs"
DEFAULT_LOWEST = 100000  # login.defs: SUB_UID_MIN


@dataclass(frozen=True)
class Accounts:
    """Account name -> ID. lowest: first subordinate ID that login.defs allows."""

    uids: Mapping[str, int] = field(default_factory=dict)
    gids: Mapping[str, int] = field(default_factory=dict)
    lowest: int = DEFAULT_LOWEST


def parse_ids(text: str) -> dict[str, int]:
    """Return name -> ID of a passwd or group file, which have them in the first and third field (man 5 passwd, man 5 group).

    Lines without them (NIS inclusions, comments, damage) are skipped. For a repeated name the first line counts, as for getpwnam(3).
    """
    found: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[0] and fields[2].isascii() and fields[2].isdigit():
            found.setdefault(fields[0], int(fields[2]))
    return found


def parse_primary_groups(passwd: str) -> dict[str, int]:
    """Return user name -> ID of its primary group, from a passwd file."""
    rows = (line.split(":") for line in passwd.splitlines())
    return {row[0]: int(row[3]) for row in rows if len(row) >= 4 and row[3].isascii() and row[3].isdigit()}


def parse_lowest(login_defs: str) -> int:
    """Return the first subordinate ID for users and groups (man 5 login.defs: SUB_UID_MIN, SUB_GID_MIN)."""
    values = [DEFAULT_LOWEST]
    for line in login_defs.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] in ("SUB_UID_MIN", "SUB_GID_MIN") and words[1].isascii() and words[1].isdigit():
            values.append(int(words[1]))
    return max(values[1:] or values)


def read_accounts(host: Host) -> Accounts:
    """Return the accounts of /etc/passwd and /etc/group. Raises OSError."""
    return Accounts(
        parse_ids(host.read(PASSWD) or ""),
        parse_ids(host.read(GROUP) or ""),
        parse_lowest(host.read(LOGIN_DEFS) or ""),
    )


def list_accounts_inside(start: int, count: int, ids: Mapping[str, int]) -> list[str]:
    """Return the names of the accounts whose ID is in the range, sorted by ID."""
    return [name for name, unused in sorted((item for item in ids.items() if start <= item[1] < start + count), key=lambda item: item[1])]
