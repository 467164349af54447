# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ranges of a subid file share IDs. Pure; verification reports it, and no host needs it."""

from __future__ import annotations

from .ranges import SubidFile, SubidLine


def find_overlaps(file: SubidFile, uids: dict[str, int] | None = None) -> list[tuple[SubidLine, SubidLine]]:
    """Return each pair of lines of different users that share an ID, in file order.

    uids: user name -> UID on the host, so that `alice` and `1000` can be the same user.
    """
    return [(a, b) for a, b in _list_sharing_pairs(file) if _identity(a, uids) != _identity(b, uids)]


def _identity(line: SubidLine, uids: dict[str, int] | None) -> str:
    return str((uids or {}).get(line.owner, line.owner))


def _list_sharing_pairs(file: SubidFile) -> list[tuple[SubidLine, SubidLine]]:
    """Return all pairs of lines that share an ID. It sweeps over the starts, so that thousands of lines cost little."""
    found: list[tuple[SubidLine, SubidLine]] = []
    open_lines: list[SubidLine] = []
    for line in sorted(file.ranges, key=lambda entry: entry.start):
        open_lines = [other for other in open_lines if other.last >= line.start]
        found += [(min(other, line, key=_number), max(other, line, key=_number)) for other in open_lines]
        open_lines.append(line)
    return sorted(found, key=lambda pair: (pair[0].number, pair[1].number))


def _number(line: SubidLine) -> int:
    return line.number
