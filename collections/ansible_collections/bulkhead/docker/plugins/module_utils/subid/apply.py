# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates users and their ranges on a host, and removes those that Bulkhead created. These are remembered in the state of a subject."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..host import state
from ..host.accounts import Directory, find_account, read_directory
from ..host.files import write_atomically
from ..host.root import Host
from .allocate import Accounts, add_directory, read_accounts
from .decide import SubidDecision, UserRequest, decide_ranges, parse_pairs
from .locks import shadow_locks
from .ranges import SUBGID, SUBUID, SubidFile, read_subid_files

Run = Callable[[list[str]], tuple[int, str, str]]
_DIRECTORY_TRIES = 16


class SubidError(Exception):
    """The request cannot be applied. The error has one message per line."""


@dataclass
class SubidOutcome:
    """What was changed. ranges: one entry per present user. diff: for `--diff` of Ansible."""

    changed: bool = False
    ranges: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)


def apply_ranges(host: Host, requests: Sequence[UserRequest], subject: str, check: bool, run: Run) -> SubidOutcome:
    """Apply the requests, or with `check` return what would change.

    run: runs a command and returns (exit code, stdout, stderr). Raises SubidError, ShadowLocked, OSError, and BlockingIOError during another run.
    """
    record = state.load(host, subject).get("users", {})
    subuid, subgid = read_subid_files(host)
    directory = read_directory(host)
    accounts = read_accounts(host)
    named = _find_directory_accounts(
        host,
        [entry.user for entry in requests if entry.user not in accounts.uids],
        [entry.group for entry in requests if entry.group and entry.group not in accounts.gids],
    )
    directory = replace(directory, uids={**directory.uids, **named.uids}, gids={**directory.gids, **named.gids})
    accounts = add_directory(accounts, directory.uids, directory.gids)
    decision = _decide(host, requests, subuid, subgid, accounts, record)
    outcome = _build_outcome(decision, subuid, subgid, requests, accounts)
    if check or not (outcome.changed or decision.record != record):
        return outcome
    with state.lock_host(host):
        for name in decision.groups:
            _run_command(run, ["groupadd", "--system", name])
        for request in decision.users:
            _create_user(host, request, run, with_group=bool(request.group) or request.user in accounts.gids)
            _remember(host, subject, request.user, {"user": True})
        outcome = _write_files(host, requests, subject, outcome, directory)
        for name in decision.removed_users:
            _run_command(run, ["userdel", name])
            _remember(host, subject, name, None)
    return outcome


def _write_files(host: Host, requests: Sequence[UserRequest], subject: str, planned: SubidOutcome, directory: Directory) -> SubidOutcome:
    """Decide again on the present files under their locks, and write them."""
    with shadow_locks(host, SUBUID, SUBGID):
        subuid, subgid = read_subid_files(host)
        accounts = add_directory(read_accounts(host), directory.uids, directory.gids)
        record = state.load(host, subject).get("users", {})
        decision = _decide(host, requests, subuid, subgid, accounts, record)
        # Remembered first: a remembered line that is missing does no harm, a line that is not remembered would never be removed.
        both = {name: {**record.get(name, {}), **decision.record.get(name, {})} for name in {**record, **decision.record}}
        state.save(host, subject, {"users": both} if both else {})
        _write_file(host, subuid, decision.subuid)
        try:
            _write_file(host, subgid, decision.subgid)
        except OSError:
            _write_file(host, decision.subuid, subuid)
            raise
        state.save(host, subject, {"users": decision.record} if decision.record else {})
    written = _build_outcome(decision, subuid, subgid, requests, accounts)
    # The second decision does not report the users that were created in between.
    files = (SUBUID, SUBGID)
    written.diff = [entry for entry in planned.diff if entry["before_header"] not in files] + [
        entry for entry in written.diff if entry["before_header"] in files
    ]
    written.changed = planned.changed or written.changed
    return written


def _decide(
    host: Host,
    requests: Sequence[UserRequest],
    subuid: SubidFile,
    subgid: SubidFile,
    accounts: Accounts,
    record: Mapping[str, Any],
) -> SubidDecision:
    """Return the decision without IDs that a directory service has assigned. Raises SubidError."""
    for unused in range(_DIRECTORY_TRIES):
        decision = decide_ranges(requests, subuid, subgid, accounts, record)
        if decision.errors:
            raise SubidError("\n".join(dict.fromkeys(decision.errors)))
        taken = _find_directory_accounts(host, _list_new_starts(subuid, decision.subuid), _list_new_starts(subgid, decision.subgid))
        if not (taken.uids or taken.gids):
            break
        accounts = replace(accounts, uids={**accounts.uids, **taken.uids}, gids={**accounts.gids, **taken.gids})
    else:
        raise SubidError(
            "the name services (man 5 nsswitch.conf) have accounts in every range that was tried; write the start of a range that is free there"
        )
    for request in requests:
        if not request.present:
            _check_unused(host, request.user, record.get(request.user, {}))
    return decision


def _list_new_starts(before: SubidFile, after: SubidFile) -> list[int]:
    old = {(line.owner, line.start) for line in before.ranges}
    return [line.start for line in after.ranges if (line.owner, line.start) not in old]


def _find_directory_accounts(host: Host, users: Sequence[int | str], groups: Sequence[int | str]) -> Accounts:
    """Return the accounts with these names or IDs, from the name services. systemd-nspawn checks the same (systemd docs/UIDS-GIDS.md)."""
    if host.root != Host().root:
        return Accounts()
    accounts: list[dict[str, int]] = [
        {row[0]: row[1] for row in (find_account(str(who), group) for who in asked) if row}
        for asked, group in ((users, False), (groups, True))
    ]
    return Accounts(accounts[0], accounts[1])


def _check_unused(host: Host, user: str, managed: Mapping[str, Any]) -> None:
    """Raise SubidError when a process runs with an ID of the user's ranges: another user must not get them."""
    ranges = parse_pairs(managed.get(SUBUID))
    if not ranges:
        return
    for pid in filter(str.isdigit, os.listdir(host.join("/proc"))):
        try:
            uid = host.path(f"/proc/{pid}").stat().st_uid
        except OSError:  # it has ended meanwhile
            continue
        if any(start <= uid < start + count for start, count in ranges):
            raise SubidError(f"process {pid} runs with the ID {uid} of a range of {user}; stop its container before the range is removed")


def _create_user(host: Host, request: UserRequest, run: Run, with_group: bool) -> None:
    """Create a system user. For other users useradd assigns subordinate ranges itself (shadow src/useradd.c, should_assign_subuid)."""
    nologin = next((shell for shell in ("/usr/sbin/nologin", "/sbin/nologin") if host.path(shell).exists()), "/bin/false")
    group = ["--gid", request.group or request.user] if with_group else ["--user-group"]
    _run_command(
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


def _run_command(run: Run, command: list[str]) -> None:
    code, out, err = run(command)
    if code:
        raise SubidError(f"{' '.join(command)} failed: {(err or out).strip() or f'exit code {code}'}")


def _remember(host: Host, subject: str, user: str, entry: dict[str, Any] | None) -> None:
    """Add to what is remembered of a user. entry: None forgets the user."""
    users = state.load(host, subject).get("users", {})
    if entry is None:
        users.pop(user, None)
    else:
        users[user] = {**users.get(user, {}), **entry}
    state.save(host, subject, {"users": users} if users else {})


def _write_file(host: Host, before: SubidFile, after: SubidFile) -> None:
    """Write one file, and the copy that the shadow tools keep next to it (lib/commonio.c, create_backup: `/etc/subuid-`, times preserved)."""
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


def _build_outcome(
    decision: SubidDecision, subuid: SubidFile, subgid: SubidFile, requests: Sequence[UserRequest], accounts: Accounts
) -> SubidOutcome:
    outcome = SubidOutcome(notes=list(dict.fromkeys(decision.notes)))
    for kind, path, names in (
        ("group", "/etc/group", decision.groups),
        ("user", "/etc/passwd", [r.user for r in decision.users]),
    ):
        outcome.diff += [_build_diff(path, "", f"{name} (system {kind})\n") for name in names]
    outcome.diff += [_build_diff("/etc/passwd", f"{name} (system user)\n", "") for name in decision.removed_users]
    for before, after in ((subuid, decision.subuid), (subgid, decision.subgid)):
        if before.text() != after.text():
            outcome.diff.append(_build_diff(before.path, before.text(), after.text()))
    outcome.changed = bool(outcome.diff)
    for request in requests:
        if request.present:
            uid = accounts.uids.get(request.user)
            rows = {
                name: [[line.start, line.count] for line in file.lines_of(request.user, uid)]
                for name, file in (("subuid", decision.subuid), ("subgid", decision.subgid))
            }
            outcome.ranges.append({"user": request.user, "uid": uid, **rows})
    return outcome


def _build_diff(path: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}
