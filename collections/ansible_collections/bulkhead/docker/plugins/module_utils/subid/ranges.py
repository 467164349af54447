# SPDX-License-Identifier: GPL-3.0-or-later
"""/etc/subuid and /etc/subgid as text: every byte of every line is kept, and what a line means is said beside it.

Three programs read these files, and they differ (shadow lib/subordinateio.c; moby pkg/idtools up to 27, moby/sys/user since 28):
a line with a count of fields other than three keeps engines before 28 from starting at all; 28 and later take a number that
they can't read for 0, so `dockremap:abc:65536` makes the container's root the host's; shadow reads `0100` as octal, the engine as
decimal. What they don't agree on is a problem of the line here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

SUBUID = "/etc/subuid"
SUBGID = "/etc/subgid"
LAST_ID = 0xFFFFFFFE  # 4294967295 is (uid_t)-1: "leave it as it is" to chown(2) and setresuid(2)

_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True)
class Line:
    """One line of a subid file.

    number: counted from 1. raw: its bytes, terminator included. owner: a user's name or uid as it stands there; empty for blanks and
    comments.
    start, count: the range, in IDs. problem: why this line gives nobody a range; empty when it does, and for blanks and comments.
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
        """Engines before 28 refuse to start with such a line anywhere in the file."""
        return bool(self.problem) and self.text.count(":") != 2

    def meets(self, start: int, count: int) -> bool:
        """Whether this line's range and the given one have an ID in common."""
        return self.is_range and self.start < start + count and start <= self.last


@dataclass(frozen=True)
class SubidFile:
    """One of the two files. `present` is false when the host has none; `path` is for sentences."""

    path: str
    lines: tuple[Line, ...] = ()
    present: bool = True

    @property
    def ranges(self) -> list[Line]:
        """The lines that give somebody a range, in file order."""
        return [line for line in self.lines if line.is_range]

    def text(self) -> str:
        return "".join(line.raw for line in self.lines)

    def where(self, line: Line) -> str:
        """`/etc/subuid:3 (alice:100000:65536)`."""
        return f"{self.path}:{line.number} ({line.text})"

    def of(self, user: str, uid: int | None) -> list[Line]:
        """The user's ranges in file order, by name or by uid; of a uid that is not known yet, by name."""
        return [line for line in self.ranges if owned_by(line, user, uid)]

    def problems(self) -> list[Line]:
        return [line for line in self.lines if line.problem]

    def with_range(self, owner: str, start: int, count: int) -> SubidFile:
        """The file with one more line at its end; a missing final newline is added first, as nothing could be appended otherwise."""
        lines = list(self.lines)
        if lines and not lines[-1].raw.endswith("\n"):
            lines[-1] = replace(lines[-1], raw=lines[-1].raw + "\n")
        lines.append(Line(len(lines) + 1, f"{owner}:{start}:{count}\n", owner, start, count))
        return SubidFile(self.path, tuple(lines))

    def without(self, dropped: Iterable[Line]) -> SubidFile:
        """The file without these lines, the others byte for byte as they were."""
        gone = {line.number for line in dropped}
        kept = [line for line in self.lines if line.number not in gone]
        return SubidFile(self.path, tuple(replace(line, number=n) for n, line in enumerate(kept, 1)), self.present)


def owned_by(line: Line, user: str, uid: int | None) -> bool:
    return line.owner == user or (uid is not None and line.owner == str(uid))


def parse(path: str, text: str | None) -> SubidFile:
    """Read one file; None is a file that does not exist."""
    if text is None:
        return SubidFile(path, present=False)
    raws = re.findall(r"[^\n]*\n|[^\n]+", text)
    return SubidFile(path, tuple(_parse_line(number, raw) for number, raw in enumerate(raws, 1)))


def _parse_line(number: int, raw: str) -> Line:
    text = raw.strip()  # as the engine does: so a carriage return at the end is nothing to it
    if not text or text.startswith("#"):
        return Line(number, raw)
    owner, *numbers = text.split(":")
    if len(numbers) != 2:
        return Line(number, raw, owner, problem=f"has {len(numbers) + 1} fields; it must be written user:start:count")
    if not owner:
        return Line(number, raw, owner, problem="has no user in its first field; it must be written user:start:count")
    for name, value in zip(("start", "count"), numbers, strict=True):
        if not _NUMBER.fullmatch(value):
            return Line(
                number,
                raw,
                owner,
                problem=f"has the {name} {value!r}; it must be a plain decimal number without leading zeros",
            )
    start, count = int(numbers[0]), int(numbers[1])
    problem = bounds_problem(start, count)
    return Line(number, raw, owner, start, count, problem)


def bounds_problem(start: int, count: int) -> str:
    """Why start and count are no range of IDs; empty when they are one."""
    if count < 1:
        return "has the count 0; a range has at least one ID"
    if start + count - 1 > LAST_ID:
        return f"reaches ID {start + count - 1}; the last ID that the kernel gives to anybody is {LAST_ID}"
    return ""


def overlaps(file: SubidFile, uids: dict[str, int] | None = None) -> list[tuple[Line, Line]]:
    """Each pair of lines of *different* users with an ID in common, in file order.

    uids: name → uid of the host's users, so that `alice` and `1000` can be the same user.
    """
    return [(a, b) for a, b in _meetings(file) if _identity(a, uids) != _identity(b, uids)]


def repeats(file: SubidFile, user: str, uid: int | None) -> list[tuple[Line, Line]]:
    """Each pair of lines of this user with an ID in common: the kernel refuses a map in which an ID stands twice (EINVAL)."""
    return [(a, b) for a, b in _meetings(file) if owned_by(a, user, uid) and owned_by(b, user, uid)]


def _identity(line: Line, uids: dict[str, int] | None) -> str:
    return str((uids or {}).get(line.owner, line.owner))


def _meetings(file: SubidFile) -> list[tuple[Line, Line]]:
    """All pairs of lines that meet; a sweep over starts, so that thousands of lines are no matter."""
    found: list[tuple[Line, Line]] = []
    open_lines: list[Line] = []
    for line in sorted(file.ranges, key=lambda entry: entry.start):
        open_lines = [other for other in open_lines if other.last >= line.start]
        found += [(min(other, line, key=_number), max(other, line, key=_number)) for other in open_lines]
        open_lines.append(line)
    return sorted(found, key=lambda pair: (pair[0].number, pair[1].number))


def _number(line: Line) -> int:
    return line.number


def engine_map(file: SubidFile, user: str, uid: int | None, numeric_first: bool) -> list[list[int]]:
    """The uid_map or gid_map that dockerd makes of this file: [inside, outside, count], one row a line of the user's, in file order.

    numeric_first: engines before 28 take the lines that name the uid, and those with the user's name only where there is none
    (moby v26.1.5 pkg/idtools/idtools_unix.go, lookupSubUIDRanges); later ones take both.
    """
    lines = file.of(user, uid)
    numeric = [line for line in lines if uid is not None and line.owner == str(uid)]
    if numeric_first and numeric:
        lines = numeric
    rows, inside = [], 0
    for line in lines:
        rows.append([inside, line.start, line.count])
        inside += line.count
    return rows
