# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses /etc/subuid and /etc/subgid. Every byte of every line is kept next to its meaning.

Three programs read these files, and they differ (shadow lib/subordinateio.c; moby pkg/idtools up to 27, moby/sys/user since 28).
A line that does not have three fields keeps engines before 28 from starting. Engine 28 and later read an unreadable number as 0, so
`dockremap:abc:65536` makes the container's root the host's. shadow reads `0100` as octal, the engine as decimal.
A line on which they disagree has a `problem` here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..host.root import Host
from .accounts import SUBGID, SUBUID

__all__ = ["SUBGID", "SUBUID"]
LAST_ID = 0xFFFFFFFE  # 4294967295 is (uid_t)-1: "leave it as it is" to chown(2) and setresuid(2)

_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True)
class SubidLine:
    """One line of a subid file.

    number: counted from 1. raw: its text, terminator included. owner: user name or UID as written; empty for blanks and comments.
    start, count: the range, in IDs. problem: why the line gives no range; empty when it gives one, and for blanks and comments.
    """

    number: int
    raw: str
    owner: str = ""
    start: int = 0
    count: int = 0
    problem: str = ""

    @property
    def text(self) -> str:
        return self.raw.strip()

    @property
    def last(self) -> int:
        return self.start + self.count - 1

    @property
    def is_range(self) -> bool:
        return bool(self.owner) and not self.problem

    @property
    def stops_engines(self) -> bool:
        """Whether engines before 28 do not start with this line in the file."""
        return bool(self.problem) and self.text.count(":") != 2

    def has_ids_of(self, start: int, count: int) -> bool:
        """Whether this line's range and the given one share an ID."""
        return self.is_range and self.start < start + count and start <= self.last


@dataclass(frozen=True)
class SubidFile:
    """One of the two files. present: whether the host has it. path: for messages."""

    path: str
    lines: tuple[SubidLine, ...] = ()
    present: bool = True

    @property
    def ranges(self) -> list[SubidLine]:
        """The lines that give a range, in file order."""
        return [line for line in self.lines if line.is_range]

    def text(self) -> str:
        return "".join(line.raw for line in self.lines)

    def locate(self, line: SubidLine) -> str:
        """Return where a line is: `/etc/subuid:3 (alice:100000:65536)`."""
        return f"{self.path}:{line.number} ({line.text})"

    def lines_of(self, user: str, uid: int | None) -> list[SubidLine]:
        """Return the user's ranges in file order, by name or UID. uid: None for a user that does not exist yet."""
        return [line for line in self.ranges if is_owned_by(line, user, uid)]

    def problems(self) -> list[SubidLine]:
        return [line for line in self.lines if line.problem]

    def add_range(self, owner: str, start: int, count: int) -> SubidFile:
        """Return the file with one more line at its end. A missing final newline is added first."""
        lines = list(self.lines)
        if lines and not lines[-1].raw.endswith("\n"):
            lines[-1] = replace(lines[-1], raw=lines[-1].raw + "\n")
        lines.append(SubidLine(len(lines) + 1, f"{owner}:{start}:{count}\n", owner, start, count))
        return SubidFile(self.path, tuple(lines))

    def remove_lines(self, removed: Iterable[SubidLine]) -> SubidFile:
        """Return the file without these lines. The others stay as they are, byte for byte."""
        numbers = {line.number for line in removed}
        kept = [line for line in self.lines if line.number not in numbers]
        return SubidFile(self.path, tuple(replace(line, number=n) for n, line in enumerate(kept, 1)), self.present)


def is_owned_by(line: SubidLine, user: str, uid: int | None) -> bool:
    return line.owner == user or (uid is not None and line.owner == str(uid))


def parse_subid(path: str, text: str | None) -> SubidFile:
    """Parse one file. text: None when the file does not exist."""
    if text is None:
        return SubidFile(path, present=False)
    raws = re.findall(r"[^\n]*\n|[^\n]+", text)
    return SubidFile(path, tuple(_parse_line(number, raw) for number, raw in enumerate(raws, 1)))


def read_subid_files(host: Host) -> tuple[SubidFile, SubidFile]:
    """Return /etc/subuid and /etc/subgid. Raises OSError when one exists and cannot be read."""
    return parse_subid(SUBUID, host.read(SUBUID)), parse_subid(SUBGID, host.read(SUBGID))


def _parse_line(number: int, raw: str) -> SubidLine:
    text = raw.strip()  # as the engine does, which ignores a carriage return at the end
    if not text or text.startswith("#"):
        return SubidLine(number, raw)
    owner, *numbers = text.split(":")
    if len(numbers) != 2:
        return SubidLine(number, raw, owner, problem=f"has {len(numbers) + 1} fields; write user:start:count")
    if not owner:
        return SubidLine(number, raw, owner, problem="has no user in its first field; write user:start:count")
    for name, value in zip(("start", "count"), numbers, strict=True):
        if not _NUMBER.fullmatch(value):
            return SubidLine(
                number,
                raw,
                owner,
                problem=f"has the {name} {value!r}; write a decimal number without leading zeros",
            )
    start, count = int(numbers[0]), int(numbers[1])
    problem = describe_bounds_problem(start, count)
    return SubidLine(number, raw, owner, start, count, problem)


def describe_bounds_problem(start: int, count: int) -> str:
    """Return why start and count are not a range of IDs; empty when they are one."""
    if count < 1:
        return "has the count 0; a range has at least one ID"
    if start + count - 1 > LAST_ID:
        return f"reaches ID {start + count - 1}; the last ID of the kernel is {LAST_ID}"
    return ""


def find_overlaps(file: SubidFile, uids: dict[str, int] | None = None) -> list[tuple[SubidLine, SubidLine]]:
    """Return each pair of lines of different users that share an ID, in file order.

    uids: user name -> UID on the host, so that `alice` and `1000` can be the same user.
    """
    return [(a, b) for a, b in _list_sharing_pairs(file) if _identity(a, uids) != _identity(b, uids)]


def find_repeats(file: SubidFile, user: str, uid: int | None) -> list[tuple[SubidLine, SubidLine]]:
    """Return each pair of this user's lines that share an ID. The kernel rejects a map with a repeated ID (EINVAL)."""
    return [(a, b) for a, b in _list_sharing_pairs(file) if is_owned_by(a, user, uid) and is_owned_by(b, user, uid)]


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


def build_engine_map(file: SubidFile, user: str, uid: int | None, numeric_first: bool) -> list[list[int]]:
    """Return the uid_map or gid_map that dockerd makes of this file: rows of [inside, outside, count], one per line of the user.

    numeric_first: engines before 28 use the lines with the UID, and those with the name only where there are none
    (moby v26.1.5 pkg/idtools/idtools_unix.go, lookupSubUIDRanges). Later engines use both.
    """
    lines = file.lines_of(user, uid)
    numeric = [line for line in lines if uid is not None and line.owner == str(uid)]
    if numeric_first and numeric:
        lines = numeric
    rows, inside = [], 0
    for line in lines:
        rows.append([inside, line.start, line.count])
        inside += line.count
    return rows
