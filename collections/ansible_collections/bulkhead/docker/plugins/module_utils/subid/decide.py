# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what a list of requests changes in both subid files and among the users. Pure.

`record` is what Bulkhead created on the host before, from the remembered state of a subject (a layer's name):

    {"dockremap": {"/etc/subuid": [[231072, 65536]], "/etc/subgid": [[231072, 65536]], "user": true}}

`user` says that Bulkhead created the account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .allocate import Accounts, Allocation, RangeRequest, Ranges, allocate_range
from .ranges import SUBGID, SUBUID, SubidFile

AddNotes = Callable[[Allocation, RangeRequest, Optional[int]], None]  # noqa: UP045 (evaluated at run time)


@dataclass(frozen=True)
class UserRequest:
    """What one user should have; with present=False, what Bulkhead gave it is removed.

    create: create a missing user as a system user. group: a group that has to exist too; it becomes a new user's primary group.
    """

    range: RangeRequest
    group: str = ""
    create: bool = False
    present: bool = True

    @property
    def user(self) -> str:
        return self.range.user


@dataclass
class SubidDecision:
    """Both files as they will be, and the users and groups to create or remove. record: what is remembered afterwards."""

    subuid: SubidFile
    subgid: SubidFile
    record: dict[str, Any]
    users: list[UserRequest] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    removed_users: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def decide_ranges(
    requests: Sequence[UserRequest],
    subuid: SubidFile,
    subgid: SubidFile,
    accounts: Accounts,
    record: Mapping[str, Any],
    add_notes: AddNotes | None = None,
) -> SubidDecision:
    """Return the decision on all requests in their order, each on the files that the one before it leaves. add_notes: of notes.py, for a plan."""
    decision = SubidDecision(subuid, subgid, {name: dict(entry) for name, entry in record.items()})
    for request in requests:
        if request.present:
            _decide_present(decision, request, accounts, add_notes)
        else:
            _decide_absent(decision, request.user, accounts)
    return decision


def _decide_present(decision: SubidDecision, request: UserRequest, accounts: Accounts, add_notes: AddNotes | None) -> None:
    user = request.user
    known = user in accounts.uids
    if not known and not request.create:
        decision.errors.append(f"the user {user} does not exist on this host; create it, or set create for it")
        return
    record = decision.record.get(user, {})
    managed = {path: parse_pairs(record.get(path)) for path in (SUBUID, SUBGID)}
    allocation = allocate_range(request.range, decision.subuid, decision.subgid, accounts, managed)
    if add_notes and not allocation.errors:
        add_notes(allocation, request.range, accounts.uids.get(user))
    decision.errors += allocation.errors
    decision.notes += allocation.notes
    uid = accounts.uids.get(user)
    for before, after in ((decision.subuid, allocation.subuid), (decision.subgid, allocation.subgid)):
        old = [(line.start, line.count) for line in before.lines_of(user, uid)]
        new = [(line.start, line.count) for line in after.lines_of(user, uid)]
        added = [list(pair) for pair in new if pair not in old]
        kept = [list(pair) for pair in managed[before.path] if pair in new and pair in old]
        if added or kept or before.path in record:
            decision.record.setdefault(user, {})[before.path] = kept + added
    decision.subuid, decision.subgid = allocation.subuid, allocation.subgid
    if request.group and request.group not in accounts.gids and request.group not in decision.groups:
        decision.groups.append(request.group)
    if not known:
        decision.users.append(request)


def _decide_absent(decision: SubidDecision, user: str, accounts: Accounts) -> None:
    record = decision.record.get(user)
    if record is None:
        return
    uid = accounts.uids.get(user)
    for name, path in (("subuid", SUBUID), ("subgid", SUBGID)):
        file: SubidFile = getattr(decision, name)
        managed = [line for line in file.lines_of(user, uid) if (line.start, line.count) in parse_pairs(record.get(path))]
        setattr(decision, name, file.remove_lines(managed))
    del decision.record[user]
    if not record.get("user") or user not in accounts.uids:
        return
    if decision.subuid.lines_of(user, uid) or decision.subgid.lines_of(user, uid):
        decision.notes.append(f"the user {user} is kept: it has subordinate ranges that others gave it, which userdel would remove")
    else:
        decision.removed_users.append(user)
        decision.record[user] = {"user": True}  # until userdel has succeeded


def parse_pairs(rows: Any) -> Ranges:
    """Return ranges that were stored as JSON."""
    return [(int(row[0]), int(row[1])) for row in rows or []]
