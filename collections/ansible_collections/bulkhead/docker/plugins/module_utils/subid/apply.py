# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing users and their ranges onto a host, and taking back what is ours. What we made is remembered in the state of a subject."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ..host import state
from ..host.files import write_atomically
from ..host.root import Host
from .accounts import Accounts, read_accounts, read_files
from .decide import Decision, Request, decide, pairs
from .locks import shadow_locks
from .ranges import SUBGID, SUBUID, SubidFile

Run = Callable[[list[str]], tuple[int, str, str]]
_DIRECTORY_TRIES = 16


class Refused(Exception):
    """It can't be done; the message holds one sentence a line."""


@dataclass
class Outcome:
    """changed, notes: as they say. ranges: one entry a present user. diff: for Ansible's `--diff`."""

    changed: bool = False
    ranges: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)


def bring(host: Host, requests: Sequence[Request], subject: str, check: bool, run: Run) -> Outcome:
    """Make it so, or (check) say what would be done. Raises Refused, Locked, OSError, and BlockingIOError when another run of ours is at
    work."""
    memory = state.load(host, subject).get("users", {})
    subuid, subgid = read_files(host)
    accounts = read_accounts(host)
    decision = _decide_here(host, requests, subuid, subgid, accounts, memory)
    outcome = _outcome(decision, subuid, subgid, requests, accounts)
    if check or not (outcome.changed or decision.memory != memory):
        return outcome
    with state.exclusive(host):
        for name in decision.groups:
            _run(run, ["groupadd", "--system", name])
        for request in decision.users:
            _create_user(host, request, run, with_group=bool(request.group) or request.user in accounts.gids)
            _remember(host, subject, request.user, {"user": True})
        outcome = _write(host, requests, subject, outcome)
        for name in decision.leaving:
            _run(run, ["userdel", name])
            _remember(host, subject, name, None)
    return outcome


def _write(host: Host, requests: Sequence[Request], subject: str, planned: Outcome) -> Outcome:
    """Decide once more on what stands there under the locks, and write it."""
    with shadow_locks(host, SUBUID, SUBGID):
        subuid, subgid = read_files(host)
        accounts = read_accounts(host)
        memory = state.load(host, subject).get("users", {})
        decision = _decide_here(host, requests, subuid, subgid, accounts, memory)
        # Remembered first: a line that is remembered and missing harms nobody, one that is there and not remembered stays for ever.
        both = {name: {**memory.get(name, {}), **decision.memory.get(name, {})} for name in {**memory, **decision.memory}}
        state.save(host, subject, {"users": both} if both else {})
        _write_file(host, subuid, decision.subuid)
        try:
            _write_file(host, subgid, decision.subgid)
        except OSError:
            _write_file(host, decision.subuid, subuid)
            raise
        state.save(host, subject, {"users": decision.memory} if decision.memory else {})
    written = _outcome(decision, subuid, subgid, requests, accounts)
    # The users that were made in between are no news to the second decision, those that will leave are news to both.
    files = (SUBUID, SUBGID)
    written.diff = [entry for entry in planned.diff if entry["before_header"] not in files] + [
        entry for entry in written.diff if entry["before_header"] in files
    ]
    written.changed = planned.changed or written.changed
    return written


def _decide_here(
    host: Host,
    requests: Sequence[Request],
    subuid: SubidFile,
    subgid: SubidFile,
    accounts: Accounts,
    memory: Mapping[str, Any],
) -> Decision:
    """`decide`, with the IDs left out that a network directory has given away. Raises Refused."""
    for unused in range(_DIRECTORY_TRIES):
        decision = decide(requests, subuid, subgid, accounts, memory)
        if decision.errors:
            raise Refused("\n".join(dict.fromkeys(decision.errors)))
        taken = _directory_accounts(host, _new_starts(subuid, decision.subuid), _new_starts(subgid, decision.subgid))
        if not (taken.uids or taken.gids):
            break
        accounts = replace(accounts, uids={**accounts.uids, **taken.uids}, gids={**accounts.gids, **taken.gids})
    else:
        raise Refused(
            "the name services (man 5 nsswitch.conf) know accounts in every range that was tried; write the start of one that is free there"
        )
    for request in requests:
        if not request.present:
            _refuse_in_use(host, request.user, memory.get(request.user, {}))
    return decision


def _new_starts(before: SubidFile, after: SubidFile) -> list[int]:
    old = {(line.owner, line.start) for line in before.ranges}
    return [line.start for line in after.ranges if (line.owner, line.start) not in old]


def _directory_accounts(host: Host, uids: list[int], gids: list[int]) -> Accounts:
    """Who owns the first ID of a range according to the name services; systemd-nspawn asks no more either (systemd docs/UIDS-GIDS.md)."""
    if host.root != Host().root or not (uids or gids):
        return Accounts()
    import grp
    import pwd

    users, groups = {}, {}
    for uid in uids:
        with suppress(KeyError):
            users[pwd.getpwuid(uid).pw_name] = uid
    for gid in gids:
        with suppress(KeyError):
            groups[grp.getgrgid(gid).gr_name] = gid
    return Accounts(users, groups)


def _refuse_in_use(host: Host, user: str, ours: Mapping[str, Any]) -> None:
    """A range under which processes run must not be given to somebody else."""
    ranges = pairs(ours.get(SUBUID))
    if not ranges:
        return
    for entry in host.path("/proc").iterdir():
        try:
            uid = entry.stat().st_uid if entry.name.isdigit() else None
        except OSError:  # it ended while we looked
            continue
        if uid is not None and any(start <= uid < start + count for start, count in ranges):
            raise Refused(
                f"process {entry.name} runs with the ID {uid} of a range of {user}; stop its container before the range is removed"
            )


def _create_user(host: Host, request: Request, run: Run, with_group: bool) -> None:
    """A system user: for others useradd would add subordinate ranges of its own choice (shadow src/useradd.c, should_assign_subuid)."""
    nologin = next((shell for shell in ("/usr/sbin/nologin", "/sbin/nologin") if host.path(shell).exists()), "/bin/false")
    group = ["--gid", request.group or request.user] if with_group else ["--user-group"]
    _run(
        run,
        [
            "useradd",
            "--system",
            *group,
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            nologin,
            request.user,
        ],
    )


def _run(run: Run, command: list[str]) -> None:
    code, out, err = run(command)
    if code:
        raise Refused(f"{' '.join(command)} failed: {(err or out).strip() or f'exit code {code}'}")


def _remember(host: Host, subject: str, user: str, entry: dict[str, Any] | None) -> None:
    """Add to what is remembered of a user; None forgets it."""
    users = state.load(host, subject).get("users", {})
    if entry is None:
        users.pop(user, None)
    else:
        users[user] = {**users.get(user, {}), **entry}
    state.save(host, subject, {"users": users} if users else {})


def _write_file(host: Host, before: SubidFile, after: SubidFile) -> None:
    """One file, with the copy that the shadow tools leave beside it (lib/commonio.c, create_backup: `/etc/subuid-`, times preserved)."""
    if before.present == after.present and before.text() == after.text():
        return
    path = host.path(after.path)
    if before.present and path.exists():
        now = path.stat()
        backup = path.with_name(f"{path.name}-")
        write_atomically(backup, before.text(), now.st_mode & 0o664, (now.st_uid, now.st_gid))
        os.utime(backup, ns=(now.st_atime_ns, now.st_mtime_ns))
    if after.present:
        write_atomically(path, after.text())
    else:
        path.unlink(missing_ok=True)


def _outcome(decision: Decision, subuid: SubidFile, subgid: SubidFile, requests: Sequence[Request], accounts: Accounts) -> Outcome:
    found = Outcome(notes=list(dict.fromkeys(decision.notes)))
    for kind, path, names in (
        ("group", "/etc/group", decision.groups),
        ("user", "/etc/passwd", [r.user for r in decision.users]),
    ):
        found.diff += [_diff(path, "", f"{name} (system {kind})\n") for name in names]
    found.diff += [_diff("/etc/passwd", f"{name} (system user)\n", "") for name in decision.leaving]
    for before, after in ((subuid, decision.subuid), (subgid, decision.subgid)):
        if before.text() != after.text():
            found.diff.append(_diff(before.path, before.text(), after.text()))
    found.changed = bool(found.diff)
    for request in requests:
        if request.present:
            uid = accounts.uids.get(request.user)
            rows = {
                name: [[line.start, line.count] for line in file.of(request.user, uid)]
                for name, file in (("subuid", decision.subuid), ("subgid", decision.subgid))
            }
            found.ranges.append({"user": request.user, "uid": uid, **rows})
    return found


def _diff(path: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}
