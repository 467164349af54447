# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses /etc/subuid and /etc/subgid. Every byte of every line is kept.

The programs that read these files differ (shadow lib/subordinateio.c; moby pkg/idtools up to 27, moby/sys/user since 28):

engines before 28   trim blanks; skip `#`; a line without three fields is an error, whose ever it is; numbers are decimal
engines since 28    trim blanks; an unreadable number is 0, so that `dockremap:abc:65536` makes the container's root the host's
newuidmap, getsubids trim nothing; know no comments; ignore further fields (up to 4.18); `0100` is octal, `0x10` valid (strtoul(3))

A line on which they disagree has a `problem`. Whatever range any of them reads is in `taken`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from ..host.accounts import SUBGID, SUBUID
from ..host.root import Host

__all__ = ["SUBGID", "SUBUID"]
LAST_ID = 0xFFFFFFFE  # 4294967295 is (uid_t)-1: "leave it as it is" to chown(2) and setresuid(2)

_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))  # Go: unicode.IsSpace
_STRTOUL = re.compile(r"[ \t\n\v\f\r]*\+?(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|(0[0-7]*)|([1-9][0-9]*))")  # 0b: glibc since 2.38
_SHADOW_LIMIT = 1024  # bytes; shadow lib/subordinateio.c, subordinate_parse
_ENGINE_LIMIT = 65536  # bytes; Go: bufio.MaxScanTokenSize


@dataclass(frozen=True)
class SubidLine:
    """One line of a subid file.

    number: counted from 1. raw: its text, terminator included. owner: user name or UID as written; empty for blanks and comments.
    start, count: the range, in IDs. problem: why the line gives no range; empty when it gives one, and for blanks and comments.
    newuidmap_problem: why newuidmap does not accept a range that the engine accepts. taken: first and last ID of what any program reads.
    """

    number: int
    raw: str
    owner: str = ""
    start: int = 0
    count: int = 0
    problem: str = ""
    newuidmap_problem: str = ""
    taken: tuple[tuple[int, int], ...] = ()

    @property
    def text(self) -> str:
        return self.raw.strip(_SPACE)

    @property
    def last(self) -> int:
        return self.start + self.count - 1

    @property
    def is_range(self) -> bool:
        return bool(self.owner) and not self.problem

    @property
    def stops_engines(self) -> bool:
        """Whether engines before 28 do not start with this line in the file."""
        return self.stops_every_engine or (bool(self.problem) and self.text.count(":") != 2)

    @property
    def stops_every_engine(self) -> bool:
        return _count_bytes(self.raw) >= _ENGINE_LIMIT

    @property
    def has_no_user(self) -> bool:
        """Whether no user can have this name, as in a comment and an inclusion of NIS."""
        return self.text[:1] in ("", "#", "+", "-", ":")

    def has_ids_of(self, start: int, count: int) -> bool:
        """Whether a range that any program reads in this line and the given one share an ID."""
        return any(first < start + count and start <= last for first, last in self.taken)


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
        lines.append(_parse_line(len(lines) + 1, f"{owner}:{start}:{count}\n"))
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
    text = raw.strip(_SPACE)
    owner, *numbers = text.split(":")
    engine, newuidmap = [_read_as_engine(value) for value in (*numbers, "", "")[:2]], _read_as_newuidmap(raw)
    bounds = ((start, min(start + count - 1, LAST_ID + 1)) for start, count in (engine, newuidmap))
    taken = tuple(sorted({(max(first, 0), last) for first, last in bounds if max(first, 0) <= last}))
    if _count_bytes(raw) >= _ENGINE_LIMIT:
        return SubidLine(number, raw, owner, problem=f"has {_ENGINE_LIMIT} bytes or more; shorten it", taken=taken)
    if not text or text.startswith("#"):
        return SubidLine(number, raw, taken=taken)
    problem = _find_problem(owner, numbers)
    if problem:
        return SubidLine(number, raw, owner, problem=problem, taken=taken)
    rejected = ""
    if raw.removesuffix("\n") != text:
        rejected = "has a blank or carriage return before or after it, with which newuidmap gives no range; remove that from the line"
    elif newuidmap != engine:
        rejected = "begins with + or -, or is too long, with which newuidmap gives no range; correct it"
    return SubidLine(number, raw, owner, engine[0], engine[1], "", rejected, taken)


def _find_problem(owner: str, numbers: list[str]) -> str:
    """Return why programs disagree on a line or give no range; empty when they agree."""
    if len(numbers) != 2:
        return f"has {len(numbers) + 1} fields; write user:start:count"
    if not owner:
        return "has no user in its first field; write user:start:count"
    for name, value in zip(("start", "count"), numbers, strict=True):
        if not _NUMBER.fullmatch(value):
            return f"has the {name} {value!r}; write a decimal number without leading zeros"
    return describe_bounds_problem(int(numbers[0]), int(numbers[1]))


def _read_as_engine(value: str) -> int:
    """Return a number as engines since 28 read it (moby/sys/user user.go, parseParts). Older ones read the same, or none."""
    if not re.fullmatch(r"[+-]?[0-9]+", value):
        return 0
    digits = value.lstrip("+-0")[:20] or "0"  # 20 digits are more than any ID, and int() rejects thousands
    return -int(digits) if value.startswith("-") else int(digits)


def _read_as_newuidmap(raw: str) -> list[int]:
    """Return start and count as newuidmap reads them; zeros if it reads none, or a negative number."""
    line = raw.removesuffix("\n").partition("\0")[0]
    fields = line.split(":")[:3]
    found = [_STRTOUL.fullmatch(value) for value in fields[1:]]
    if len(found) < 2 or not all(found) or not fields[0] or line[0] in "+-" or _count_bytes(line) >= _SHADOW_LIMIT:
        return [0, 0]
    numbers = [int(match[match.lastindex], (0, 16, 2, 8, 10)[match.lastindex]) for match in found if match and match.lastindex]
    return numbers if max(numbers) < 1 << 64 else [0, 0]


def _count_bytes(raw: str) -> int:
    return len(raw.removesuffix("\n").encode("utf-8", "surrogateescape"))


def describe_bounds_problem(start: int, count: int) -> str:
    """Return why start and count are not a range of IDs; empty when they are one."""
    if count < 1:
        return "has the count 0; a range has at least one ID"
    if start + count - 1 > LAST_ID:
        return f"reaches ID {start + count - 1}; the last ID of the kernel is {LAST_ID}"
    return ""


def find_users_of_range(file: SubidFile, user: str, uid: int | None, uids: Mapping[str, int]) -> list[tuple[SubidLine, SubidLine]]:
    """Return each line of this user with a line of another that has an ID of it, as any program reads that line."""
    return [
        (own, other)
        for own in file.lines_of(user, uid)
        for other in file.lines
        if other.has_ids_of(own.start, own.count) and not other.has_no_user and other.number != own.number
        and not is_owned_by(other, user, uid) and (uid is None or uids.get(other.owner) != uid)
    ]  # fmt: skip


def find_repeats(file: SubidFile, user: str, uid: int | None) -> list[tuple[SubidLine, SubidLine]]:
    """Return each pair of this user's lines that share an ID. The kernel rejects a map with a repeated ID (EINVAL)."""
    return [(a, b) for a, b in combinations(file.lines_of(user, uid), 2) if a.has_ids_of(b.start, b.count)]


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
