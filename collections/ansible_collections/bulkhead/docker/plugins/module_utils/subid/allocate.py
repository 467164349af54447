# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which subordinate range a user gets: the one it has, or a free one. Pure, so that plan and module decide alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..host.accounts import DEFAULT_LOWEST, GROUP, LOGIN_DEFS, PASSWD, parse_ids, parse_lowest
from ..host.root import Host
from .ranges import SubidFile, SubidLine, describe_bounds_problem, find_repeats, find_users_of_range, is_owned_by

BLOCK = 65536  # distance between candidates, as for useradd (login.defs: SUB_UID_COUNT)
DEFAULT_START = 231072

# IDs that programs use without an entry in any file (systemd docs/UIDS-GIDS.md).
_ACCOUNTS = (0, 65535)
_RESERVED: tuple[tuple[int, int, str], ...] = (
    (*_ACCOUNTS, "the accounts of the host, systemd's dynamic users (61184 to 65519) and nobody (65534)"),
    (0x80000, 0x6FFFFFFF, "the ranges that systemd-nspawn picks for its containers (524288 to 1879048191)"),
    (0x7FFE0000, 0x7FFEFFFF, "systemd's range for foreign images (2147352576 to 2147418111)"),
    (0x80000000, 0xFFFFFFFF, "IDs of 2147483648 and above, which programs that use signed numbers cannot hold"),
)
# Where a free range is searched when the requested one is taken: below the range of systemd-nspawn, then above it.
_BELOW_NSPAWN = 0x80000 - 1
_ABOVE_NSPAWN = (0x70000000, 0x7FFE0000 - 1)

Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Accounts:
    """Account name -> ID. lowest: first subordinate ID that login.defs allows."""

    uids: Mapping[str, int] = field(default_factory=dict)
    gids: Mapping[str, int] = field(default_factory=dict)
    lowest: int = DEFAULT_LOWEST


@dataclass(frozen=True)
class RangeRequest:
    """The range that is requested for a user: first ID and number of IDs.

    exact: this range only. Otherwise the user keeps a range that it has, and a taken range is replaced by a free one.
    start_name: the variable or option that sets `start`, for messages. newuidmap: whether newuidmap has to accept the range too.
    avoid: first and last ID, and what uses them; a free range is searched elsewhere, as far as there is one.
    """

    user: str
    start: int = DEFAULT_START
    count: int = BLOCK
    exact: bool = False
    start_name: str = "start"
    newuidmap: bool = False
    avoid: tuple[tuple[int, int, str], ...] = ()


@dataclass
class Allocation:
    """Both files as they should be.

    kept: whether nothing is added or removed. errors: messages; with any of them the files are the present ones. notes: messages.
    """

    subuid: SubidFile
    subgid: SubidFile
    kept: bool = True
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def allocate_range(
    request: RangeRequest, subuid: SubidFile, subgid: SubidFile, accounts: Accounts, managed: Mapping[str, Ranges] | None = None
) -> Allocation:
    """Return the allocation for one user.

    managed: path -> (start, count) of the lines that Bulkhead wrote for this user. An exact request replaces only those.
    """
    result = Allocation(subuid, subgid)
    uid = accounts.uids.get(request.user)
    problem = describe_bounds_problem(request.start, request.count)
    if problem:
        text = f"{request.start}:{request.count}, requested for {request.user}, {problem}; write another {request.start_name} or size"
        result.errors.append(text)
        return result
    for file, ids, kind in ((subuid, accounts.uids, "user"), (subgid, accounts.gids, "group")):
        result.errors += _list_overlap_errors(file, request.user, uid, accounts.uids) + _list_own_errors(file, request, uid, ids, kind)
    if result.errors:
        return result

    own = {file.path: file.lines_of(request.user, uid) for file in (subuid, subgid)}
    if request.exact:
        _remove_other_ranges(result, request, own, managed or {})
    if not result.errors:
        _add_missing_ranges(result, request, own, accounts)
    if result.errors:
        return Allocation(subuid, subgid, errors=result.errors)
    return result


def _list_overlap_errors(file: SubidFile, user: str, uid: int | None, uids: Mapping[str, int]) -> list[str]:
    """Return a message for each line of another user with IDs of this one. Overlaps among other users do not concern it."""
    errors = []
    for own, other in find_users_of_range(file, user, uid, uids):
        first, last = next(pair for pair in other.taken if pair[0] <= own.last and own.start <= pair[1])
        one, two = sorted((own, other), key=lambda line: line.number)
        errors.append(
            f"{file.locate(one)} overlaps {file.locate(two)}: containers of both users would own the IDs "
            f"{max(own.start, first)} to {min(own.last, last)}; give one of them another range"
        )
    return errors


def describe_reservation(start: int, count: int) -> str:
    """Return what uses IDs of this range without an entry in a file; empty when nothing is known to."""
    return next((user for first, last, user in _RESERVED if start <= last and first < start + count), "")


def find_free_start(
    start: int, count: int, files: Iterable[SubidFile], accounts: Accounts, request: RangeRequest | None = None
) -> int | None:
    """Return the start of a range that is free in all files: `start` itself, otherwise the next one in steps of a block; None without one.

    The requested range may be in a reserved area above the accounts, because its author knows the host. A replacement never is.
    A range in a comment is free for an exact request only, because useradd and getsubids know no comments.
    """
    exact, avoid = (request.exact, request.avoid) if request else (False, ())
    taken = [pair for file in files for line in file.lines if not (exact and line.has_no_user) for pair in line.taken]
    taken += [(n, n) for ids in (accounts.uids, accounts.gids) for n in ids.values()]
    taken.append(_ACCOUNTS)
    for avoided in [[(first, last) for first, last, unused in avoid], []][not avoid :]:
        fit = _find_start(start, count, taken + avoided, max(accounts.lowest, _ACCOUNTS[1] + 1))
        if fit is not None:
            return fit
    return None


def _find_start(start: int, count: int, taken: list[tuple[int, int]], lowest: int) -> int | None:
    if _find_first_fit(start, start + count - 1, count, sorted(taken)) == start:
        return start
    taken = sorted(taken + [(first, last) for first, last, unused in _RESERVED])
    lowest = start - max(0, start - lowest) // BLOCK * BLOCK
    for low, high in ((start, _BELOW_NSPAWN), (lowest, _BELOW_NSPAWN), _ABOVE_NSPAWN):
        fit = _find_first_fit(low, high, count, taken)
        if fit is not None:
            return fit
    return None


def _find_first_fit(low: int, high: int, count: int, taken: list[tuple[int, int]]) -> int | None:
    """Return the first of low, low + BLOCK, … up to `high` with `count` free IDs. taken: sorted by first ID."""
    start = low
    for first, last in taken:
        if last >= start and first < start + count:
            start += (last - start) // BLOCK * BLOCK + BLOCK
    return start if start + count - 1 <= high else None


def _list_own_errors(file: SubidFile, request: RangeRequest, uid: int | None, ids: Mapping[str, int], kind: str) -> list[str]:
    """Return what is wrong with the lines that the user has."""
    user, errors = request.user, []
    for line in file.lines:
        problem = line.problem or (line.newuidmap_problem if request.newuidmap else "")
        if problem and is_owned_by(line, user, uid):
            errors.append(f"{file.locate(line)} {problem}")
    errors += [
        f"{file.locate(a)} and {file.locate(b)} give {user} the same IDs twice, which the kernel rejects; remove one"
        for a, b in find_repeats(file, user, uid)
    ]
    for line in file.lines_of(user, uid):
        inside = list_accounts_inside(line.start, line.count, ids)
        if inside:
            names = ", ".join(inside[:3]) + (f" and {len(inside) - 3} more" if len(inside) > 3 else "")
            text = f"{file.locate(line)} contains the ID of the {kind} {names}: a container could act as it; give {user} another range"
            errors.append(text)
        elif line.start <= _ACCOUNTS[1]:
            errors.append(f"{file.locate(line)} contains IDs below 65536, which belong to {_RESERVED[0][2]}; give {user} another range")
    return errors


def _remove_other_ranges(result: Allocation, request: RangeRequest, own: dict[str, list[SubidLine]], managed: Mapping[str, Ranges]) -> None:
    """For an exact request: remove the user's other ranges, as far as Bulkhead wrote them."""
    for name in ("subuid", "subgid"):
        file: SubidFile = getattr(result, name)
        present = [(line.start, line.count) for line in own[file.path]]
        if not present or present == [(request.start, request.count)]:
            continue
        unmanaged = [line for line in own[file.path] if (line.start, line.count) not in managed.get(file.path, [])]
        if unmanaged:
            first = unmanaged[0]
            result.errors.append(
                f"{file.locate(first)} is not {request.start}:{request.count} and was not written by Bulkhead; "
                f"remove that line, or write {request.start_name} {first.start} and size {first.count} to use it"
            )
            continue
        setattr(result, name, file.remove_lines(own[file.path]))
        own[file.path] = []
        result.kept = False


def _add_missing_ranges(result: Allocation, request: RangeRequest, own: dict[str, list[SubidLine]], accounts: Accounts) -> None:
    """Add ranges to the files that have none of the user; the same in both where that is possible."""
    lacking = [name for name in ("subuid", "subgid") if not own[getattr(result, name).path]]
    if not lacking:
        return
    files: list[SubidFile] = [getattr(result, name) for name in lacking]
    example = [(line.start, line.count) for lines in own.values() for line in lines] or [(request.start, request.count)]
    for start, count in example:
        free = find_free_start(start, count, files, accounts, request)
        if free is None or (request.exact and free != start):
            result.errors.append(_explain_taken(start, count, files, accounts, request, nothing_free=free is None))
            return
        if free != start:
            cause = _describe_taker(start, count, files, accounts, request)
            result.notes.append(f"{request.user} gets {free}:{count}: {cause}, so {start}:{count} is not free")
        for index, name in enumerate(lacking):
            files[index] = files[index].add_range(request.user, free, count)
            setattr(result, name, files[index])
    result.kept = False


def _describe_taker(start: int, count: int, files: Iterable[SubidFile], accounts: Accounts, request: RangeRequest) -> str:
    """Return what already uses IDs of a range, as the middle of a message."""
    for file in files:
        for line in file.lines:
            if line.has_ids_of(start, count) and not (request.exact and line.has_no_user):
                return f"{file.locate(line)} has IDs of it"
    for kind, ids in (("user", accounts.uids), ("group", accounts.gids)):
        for name in list_accounts_inside(start, count, ids):
            return f"the {kind} {name} has the ID {ids[name]}"
    for first, last, text in request.avoid:
        if start <= last and first < start + count:
            return text
    return f"it belongs to {describe_reservation(start, count)}"


def _explain_taken(start: int, count: int, files: list[SubidFile], accounts: Accounts, request: RangeRequest, nothing_free: bool) -> str:
    message = f"{start}:{count} cannot be allocated to {request.user}: {_describe_taker(start, count, files, accounts, request)}"
    if nothing_free:
        return f"{message}, and no other range of {count} IDs is free below 2147352576; write a smaller size"
    return f"{message}; write another {request.start_name}"


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


def add_directory(accounts: Accounts, uids: Mapping[str, int], gids: Mapping[str, int]) -> Accounts:
    """Return the accounts of the files together with those of the directory. For a repeated name or ID, that of the file counts."""
    return Accounts({**accounts.uids, **uids, **accounts.uids}, {**accounts.gids, **gids, **accounts.gids}, accounts.lowest)
