# SPDX-License-Identifier: GPL-3.0-or-later
"""Which range a user gets: the one it has, or a free one. Pure, so that the plan and the module that writes decide alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .accounts import Accounts, accounts_inside
from .ranges import Line, SubidFile, bounds_problem, overlaps, owned_by, repeats

BLOCK = 65536  # candidates lie this far apart, as useradd's own ranges do (login.defs: SUB_UID_COUNT)
DEFAULT_START = 231072

# IDs that somebody hands out without writing them into any file (systemd docs/UIDS-GIDS.md).
_ACCOUNTS = (0, 65535)
_RESERVED: tuple[tuple[int, int, str], ...] = (
    (*_ACCOUNTS, "the accounts of the host, systemd's dynamic users (61184 to 65519) and nobody (65534)"),
    (0x80000, 0x6FFFFFFF, "the ranges that systemd-nspawn picks for its containers (524288 to 1879048191)"),
    (0x7FFE0000, 0x7FFEFFFF, "systemd's range for foreign images (2147352576 to 2147418111)"),
    (0x80000000, 0xFFFFFFFF, "IDs of 2147483648 and above, which programs that use signed numbers can't hold"),
)
# Where a range is looked for when the wished one is taken: below nspawn's, then above.
_BELOW_NSPAWN = 0x80000 - 1
_ABOVE_NSPAWN = (0x70000000, 0x7FFE0000 - 1)


@dataclass(frozen=True)
class Wish:
    """What a user shall have.

    exact: this range and no other; otherwise a range that it has is kept, and a taken one is replaced by a free one.
    start_name: what the person who wished calls `start`, for sentences.
    """

    user: str
    start: int = DEFAULT_START
    count: int = BLOCK
    exact: bool = False
    start_name: str = "start"


@dataclass
class Settlement:
    """Both files as they should be, or why they can't be.

    kept: nothing had to be added or dropped. errors: sentences; with any of them the files are the present ones.
    notes: sentences worth showing.
    """

    subuid: SubidFile
    subgid: SubidFile
    kept: bool = True
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Ranges = list[tuple[int, int]]


def settle(wish: Wish, subuid: SubidFile, subgid: SubidFile, accounts: Accounts, ours: Mapping[str, Ranges] | None = None) -> Settlement:
    """Decide for one user.

    ours: path → the (start, count) lines of this user that we wrote ourselves; only those may be replaced for an exact wish.
    """
    found = Settlement(subuid, subgid)
    uid = accounts.uids.get(wish.user)
    problem = bounds_problem(wish.start, wish.count)
    if problem:
        found.errors.append(f"{wish.start}:{wish.count}, wished for {wish.user}, {problem}; write another {wish.start_name} or size")
        return found
    for file, ids, kind in ((subuid, accounts.uids, "user"), (subgid, accounts.gids, "group")):
        found.errors += file_errors(file, accounts.uids) + _own_errors(file, wish.user, uid, ids, kind)
    if found.errors:
        return found

    mine = {file.path: file.of(wish.user, uid) for file in (subuid, subgid)}
    if wish.exact:
        _drop_other(found, wish, mine, ours or {})
    if not found.errors:
        _add_missing(found, wish, mine, accounts)
    if found.errors:
        return Settlement(subuid, subgid, errors=found.errors)
    _note(found, wish, uid)
    return found


def file_errors(file: SubidFile, uids: Mapping[str, int]) -> list[str]:
    """What has to be put right by hand before anything can be given out of this file safely: ranges of two users that overlap."""
    return [
        f"{file.where(a)} overlaps {file.where(b)}: both users' containers would own the IDs "
        f"{max(a.start, b.start)} to {min(a.last, b.last)}; give one of them another range"
        for a, b in overlaps(file, dict(uids))
    ]


def reserved_for(start: int, count: int) -> str:
    """Who hands out IDs of this range without writing it down; empty when nobody is known."""
    return next((who for first, last, who in _RESERVED if start <= last and first < start + count), "")


def find_free(start: int, count: int, files: Iterable[SubidFile], accounts: Accounts) -> int | None:
    """The start of a range that is free in all these files: `start` itself, otherwise the next one, in steps of a block.

    The wish itself may lie in a reserved area above the accounts, as its owner knows the host better; a substitute never does.
    """
    taken = [(line.start, line.last) for file in files for line in file.ranges]
    taken += [(n, n) for ids in (accounts.uids, accounts.gids) for n in ids.values()]
    taken.append(_ACCOUNTS)
    if _first_fit(start, start + count - 1, count, sorted(taken)) == start:
        return start
    taken += [(first, last) for first, last, unused in _RESERVED]
    taken.sort()
    lowest = start - max(0, start - max(accounts.lowest, _ACCOUNTS[1] + 1)) // BLOCK * BLOCK
    for low, high in ((start, _BELOW_NSPAWN), (lowest, _BELOW_NSPAWN), _ABOVE_NSPAWN):
        fit = _first_fit(low, high, count, taken)
        if fit is not None:
            return fit
    return None


def _first_fit(low: int, high: int, count: int, taken: list[tuple[int, int]]) -> int | None:
    """The first of low, low + BLOCK, … up to `high` where `count` IDs are free; `taken` is sorted by its first ID."""
    start = low
    for first, last in taken:
        if last >= start and first < start + count:
            start += (last - start) // BLOCK * BLOCK + BLOCK
    return start if start + count - 1 <= high else None


def _own_errors(file: SubidFile, user: str, uid: int | None, ids: Mapping[str, int], kind: str) -> list[str]:
    """What is wrong with the lines that the user has."""
    errors = [f"{file.where(line)} {line.problem}" for line in file.problems() if owned_by(line, user, uid)]
    errors += [
        f"{file.where(a)} and {file.where(b)} give {user} the same IDs twice, which the kernel refuses; remove one"
        for a, b in repeats(file, user, uid)
    ]
    for line in file.of(user, uid):
        inside = accounts_inside(line.start, line.count, ids)
        if inside:
            names = ", ".join(inside[:3]) + (f" and {len(inside) - 3} more" if len(inside) > 3 else "")
            errors.append(
                f"{file.where(line)} contains the ID of the {kind} {names}: a container could act as it; give {user} another range"
            )
        elif line.start <= _ACCOUNTS[1]:
            errors.append(f"{file.where(line)} contains IDs below 65536, which belong to {_RESERVED[0][2]}; give {user} another range")
    return errors


def _drop_other(found: Settlement, wish: Wish, mine: dict[str, list[Line]], ours: Mapping[str, Ranges]) -> None:
    """For an exact wish: take away what the user has instead, as far as we wrote it."""
    for name in ("subuid", "subgid"):
        file: SubidFile = getattr(found, name)
        present = [(line.start, line.count) for line in mine[file.path]]
        if not present or present == [(wish.start, wish.count)]:
            continue
        foreign = [line for line in mine[file.path] if (line.start, line.count) not in ours.get(file.path, [])]
        if foreign:
            found.errors.append(
                f"{file.where(foreign[0])} is not {wish.start}:{wish.count} and was not written by us; "
                f"remove that line, or take it over with {wish.start_name} {foreign[0].start} and size {foreign[0].count}"
            )
            continue
        setattr(found, name, file.without(mine[file.path]))
        mine[file.path] = []
        found.kept = False


def _add_missing(found: Settlement, wish: Wish, mine: dict[str, list[Line]], accounts: Accounts) -> None:
    """Give the user ranges in the files where it has none: the same in both wherever that is possible."""
    lacking = [name for name in ("subuid", "subgid") if not mine[getattr(found, name).path]]
    if not lacking:
        return
    files: list[SubidFile] = [getattr(found, name) for name in lacking]
    example = [(line.start, line.count) for lines in mine.values() for line in lines] or [(wish.start, wish.count)]
    for start, count in example:
        free = find_free(start, count, files, accounts)
        if free is None or (wish.exact and free != start):
            found.errors.append(_why_taken(start, count, files, accounts, wish, nothing_else=free is None))
            return
        if free != start:
            found.notes.append(f"{wish.user} gets {free}:{count}: {_taker(start, count, files, accounts)}, so {start}:{count} is not free")
        for index, name in enumerate(lacking):
            files[index] = files[index].with_range(wish.user, free, count)
            setattr(found, name, files[index])
    found.kept = False


def _taker(start: int, count: int, files: Iterable[SubidFile], accounts: Accounts) -> str:
    """Who stands in the way of a range, as the middle of a sentence."""
    for file in files:
        for line in file.ranges:
            if line.meets(start, count):
                return f"{file.where(line)} has IDs of it"
    for kind, ids in (("user", accounts.uids), ("group", accounts.gids)):
        for name in accounts_inside(start, count, ids):
            return f"the {kind} {name} has the ID {ids[name]}"
    return f"it belongs to {reserved_for(start, count)}"


def _why_taken(start: int, count: int, files: list[SubidFile], accounts: Accounts, wish: Wish, nothing_else: bool) -> str:
    sentence = f"{start}:{count} can't be given to {wish.user}: {_taker(start, count, files, accounts)}"
    if nothing_else:
        return f"{sentence}, and no other range of {count} IDs is free below 2147352576; write a smaller size"
    return f"{sentence}; write another {wish.start_name}"


def _note(found: Settlement, wish: Wish, uid: int | None) -> None:
    """What is odd about the ranges, though it works."""
    rows = {}
    for file in (found.subuid, found.subgid):
        lines = file.of(wish.user, uid)
        rows[file.path] = [(line.start, line.count) for line in lines]
        if len(lines) > 1:
            found.notes.append(
                f"{file.path} has {len(lines)} ranges of {wish.user}; the engine uses all of them, and {file.where(lines[0])} holds root"
            )
        if {line.owner for line in lines} == {wish.user, str(uid)}:
            found.notes.append(
                f"{file.path} names {wish.user} in some lines and its uid {uid} in others; engines before 28 use the latter alone"
            )
        for line in lines:
            who = reserved_for(line.start, line.count)
            if who:
                found.notes.append(f"{file.where(line)} lies in {who}")
    uid_rows, gid_rows = rows[found.subuid.path], rows[found.subgid.path]
    if uid_rows != gid_rows:
        found.notes.append(
            f"the ranges of {wish.user} differ between {found.subuid.path} and {found.subgid.path}; the engine takes them so"
        )
    elif found.kept and uid_rows[0] != (wish.start, wish.count):
        found.notes.append(f"{wish.user} keeps the range {uid_rows[0][0]}:{uid_rows[0][1]} that it has")
