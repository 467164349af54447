# SPDX-License-Identifier: GPL-3.0-or-later
"""What a list of requests makes of both subid files and of the users. Pure.

`memory` is what we made on the host before, from the state of a subject (a layer's name):

    {"dockremap": {"/etc/subuid": [[231072, 65536]], "/etc/subgid": [[231072, 65536]], "user": true}}

with `user` telling that the account is our work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .accounts import Accounts
from .allocate import Ranges, Wish, settle
from .ranges import SUBGID, SUBUID, SubidFile


@dataclass(frozen=True)
class Request:
    """What one user shall have, or (present=False) that what we gave it is taken back.

    create: make the user, a system user, when there is none. group: a group that has to exist, too; it becomes a new user's primary one.
    """

    wish: Wish
    group: str = ""
    create: bool = False
    present: bool = True

    @property
    def user(self) -> str:
        return self.wish.user


@dataclass
class Decision:
    """Both files as they will be, and what else has to happen. memory: what is then to be remembered."""

    subuid: SubidFile
    subgid: SubidFile
    memory: dict[str, Any]
    users: list[Request] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def decide(requests: Sequence[Request], subuid: SubidFile, subgid: SubidFile, accounts: Accounts, memory: Mapping[str, Any]) -> Decision:
    """Pure: all requests in their order, each on the files that the one before leaves."""
    found = Decision(subuid, subgid, {name: dict(entry) for name, entry in memory.items()})
    for request in requests:
        if request.present:
            _decide_present(found, request, accounts)
        else:
            _decide_absent(found, request.user, accounts)
    return found


def _decide_present(found: Decision, request: Request, accounts: Accounts) -> None:
    user = request.user
    known = user in accounts.uids
    if not known and not request.create:
        found.errors.append(f"the user {user} does not exist on this host; create it, or set create for it")
        return
    ours = found.memory.get(user, {})
    settled = settle(request.wish, found.subuid, found.subgid, accounts, {path: pairs(ours.get(path)) for path in (SUBUID, SUBGID)})
    found.errors += settled.errors
    found.notes += settled.notes
    uid = accounts.uids.get(user)
    for before, after in ((found.subuid, settled.subuid), (found.subgid, settled.subgid)):
        old = [(line.start, line.count) for line in before.of(user, uid)]
        new = [(line.start, line.count) for line in after.of(user, uid)]
        added = [list(pair) for pair in new if pair not in old]
        kept = [list(pair) for pair in pairs(ours.get(before.path)) if pair in new and pair in old]
        if added or kept or before.path in ours:
            found.memory.setdefault(user, {})[before.path] = kept + added
    found.subuid, found.subgid = settled.subuid, settled.subgid
    if request.group and request.group not in accounts.gids and request.group not in found.groups:
        found.groups.append(request.group)
    if not known:
        found.users.append(request)


def _decide_absent(found: Decision, user: str, accounts: Accounts) -> None:
    ours = found.memory.get(user)
    if ours is None:
        return
    uid = accounts.uids.get(user)
    for name, path in (("subuid", SUBUID), ("subgid", SUBGID)):
        file: SubidFile = getattr(found, name)
        mine = [line for line in file.of(user, uid) if (line.start, line.count) in pairs(ours.get(path))]
        setattr(found, name, file.without(mine))
    del found.memory[user]
    if not ours.get("user") or user not in accounts.uids:
        return
    if found.subuid.of(user, uid) or found.subgid.of(user, uid):
        found.notes.append(f"the user {user} stays: it has subordinate ranges that others gave it, which userdel would remove")
    else:
        found.leaving.append(user)
        found.memory[user] = {"user": True}  # until userdel has succeeded


def pairs(rows: Any) -> Ranges:
    """Ranges after a journey as JSON."""
    return [(int(row[0]), int(row[1])) for row in rows or []]
