# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's users and groups as far as subordinate ranges concern them. Files only: no network directory is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..host.root import Host
from .ranges import SUBGID, SUBUID, SubidFile, parse

DEFAULT_LOWEST = 100000  # login.defs: SUB_UID_MIN


@dataclass(frozen=True)
class Accounts:
    """Who has which ID: name → ID. lowest: where login.defs lets subordinate IDs begin."""

    uids: Mapping[str, int] = field(default_factory=dict)
    gids: Mapping[str, int] = field(default_factory=dict)
    lowest: int = DEFAULT_LOWEST


def ids_of(text: str) -> dict[str, int]:
    """Name → ID of a passwd or group file: both have them in the first and third field (man 5 passwd, man 5 group).

    Lines that have none (NIS inclusions, comments, damage) are passed over; where a name stands twice the first counts, as for getpwnam(3).
    """
    found: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[0] and fields[2].isascii() and fields[2].isdigit():
            found.setdefault(fields[0], int(fields[2]))
    return found


def primary_groups(passwd: str) -> dict[str, int]:
    """Name → ID of the primary group, of a passwd file."""
    rows = (line.split(":") for line in passwd.splitlines())
    return {row[0]: int(row[3]) for row in rows if len(row) >= 4 and row[3].isascii() and row[3].isdigit()}


def lowest_of(login_defs: str) -> int:
    """Where subordinate IDs begin, uids and gids alike (man 5 login.defs: SUB_UID_MIN, SUB_GID_MIN)."""
    values = [DEFAULT_LOWEST]
    for line in login_defs.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] in ("SUB_UID_MIN", "SUB_GID_MIN") and words[1].isascii() and words[1].isdigit():
            values.append(int(words[1]))
    return max(values[1:] or values)


def read_accounts(host: Host) -> Accounts:
    return Accounts(
        ids_of(host.read("/etc/passwd") or ""),
        ids_of(host.read("/etc/group") or ""),
        lowest_of(host.read("/etc/login.defs") or ""),
    )


def read_files(host: Host) -> tuple[SubidFile, SubidFile]:
    """/etc/subuid and /etc/subgid. Raises OSError when one is there and can't be read."""
    return parse(SUBUID, host.read(SUBUID)), parse(SUBGID, host.read(SUBGID))


def accounts_inside(start: int, count: int, ids: Mapping[str, int]) -> list[str]:
    """Names of the accounts whose ID lies in the range, by ID."""
    return [name for name, unused in sorted((item for item in ids.items() if start <= item[1] < start + count), key=lambda item: item[1])]
