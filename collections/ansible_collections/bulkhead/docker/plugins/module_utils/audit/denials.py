# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses denials from audit messages: the operation and the layer that denied it. Counts equal ones. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..seccomp.syscalls import AUDIT_ARCH, name_syscall
from .joining import remove_logged
from .messages import APPARMOR, DENIED_VERDICTS, Message
from .recorded import is_counted_by_recorder

_MAX_LENGTH = 200
_MAX_PIDS = 5
# The fields of AppArmor that describe the requested object; the other fields describe the process.
_OBJECT_FIELDS = (
    "name",
    "capname",
    "requested_mask",
    "denied_mask",
    "family",
    "sock_type",
    "signal",
    "peer",
    "srcname",
    "fstype",
    "target",
    "flags",
    "info",
)
# SECCOMP_RET_* without their data (linux/seccomp.h).
_ACTIONS = {
    0x80000000: "kill_process", 0x00000000: "kill_thread", 0x00030000: "trap", 0x00050000: "errno", 0x7FC00000: "user_notif", 0x7FF00000: "trace",
    0x7FFC0000: "log",
}  # fmt: skip
# Profiles answer it with ENOSYS, so that C libraries use clone instead (seccomp/blocks.py; moby profiles/seccomp/default.json). The message has no errno.
_ANSWERED_ENOSYS = "clone3"
_MACHINES = {number: name for name, number in AUDIT_ARCH.items()}


@dataclass(frozen=True)
class LoggedDenial:
    """One denied operation.

    layer: `apparmor` or `seccomp`. denied: False if a profile in complain mode or the action `log` allowed it. operation: as AppArmor names it, or the
    system call. detail: the requested object. profile: the label of the process; None if the message contains none.
    """

    layer: str
    denied: bool
    operation: str
    detail: str
    profile: str | None
    comm: str
    exe: str | None


def parse_denial(message: Message) -> LoggedDenial | None:
    """Return the denial; None for another message, such as a loaded profile or an operation that an `audit` rule allowed.

    An errno of clone3 is left out, as the counters and the recorder leave out ENOSYS.
    """
    fields = message.fields
    comm, exe = fields.get("comm", "unknown")[:_MAX_LENGTH], fields.get("exe")
    if message.kind == APPARMOR:
        verdict = fields.get("apparmor")
        if verdict not in (*DENIED_VERDICTS, "ALLOWED"):
            return None
        detail = " ".join(f"{key}={fields[key]}" for key in _OBJECT_FIELDS if key in fields)[:_MAX_LENGTH]
        return LoggedDenial("apparmor", verdict != "ALLOWED", fields.get("operation", "unknown"), detail, fields.get("profile"), comm, exe)
    if not message.kind or not _is_complete(fields):
        return None
    action = _ACTIONS.get(int(fields["code"], 16) & 0xFFFF0000, "unknown")
    machine = _MACHINES.get(int(fields["arch"], 16), "")
    try:
        call = name_syscall(machine, int(fields["syscall"]))
    except KeyError:
        call = f"syscall {fields['syscall']}"
    if call == _ANSWERED_ENOSYS and action == "errno":
        return None
    detail = f"action={action}" + ("" if machine else f" arch={fields['arch']}")
    return LoggedDenial("seccomp", action != "log", call, detail, fields.get("subj"), comm, exe)


def count_equal_denials(
    messages: Iterable[Message],
    attribute: Callable[[Message, LoggedDenial], Mapping[str, Any]],
    limit: int,
    recorded: Sequence[Mapping[str, Any]] = (),
    counted: Sequence[Mapping[str, Any]] = (),
    since: float = 0.0,
    connections: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[dict[str, Any]], int]:
    """Return equal denials as one entry each, the most frequent first, and the number of all denials.

    An entry has `count`, `first` and `last` (seconds since the epoch) and the first PIDs. attribute: returns the container and how it is known.
    limit: the maximum number of entries. The others are counted in one entry per layer and container. recorded: entries of the recorder; they
    replace those of the logs for the same errno, call and container. counted: entries of the denial counters, since `since`; they also replace those
    of the recorder. connections: entries of the egress rules.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for message in messages:
        denial = parse_denial(message)
        if denial is None:
            continue
        owner = dict(attribute(message, denial))
        key = (denial, owner["scope"], owner["by"], repr(owner["container"]), repr(owner["candidates"]))
        entry = found.setdefault(key, {**asdict(denial), **owner, "count": 0, "first": message.time, "last": message.time, "pids": []})
        _add_count(entry, 1, message.time, message.time, [int(message.fields["pid"])] if message.fields.get("pid", "").isdigit() else [])
    by_counters = _list_calls(counted)
    known = by_counters | _list_calls(recorded)
    entries = [
        *(entry for entry in found.values() if not is_counted_by_recorder(entry, known)),
        *(dict(entry) for entry in recorded if (entry["container"]["id"], entry["operation"]) not in by_counters),
        *remove_logged(counted, found.values(), since),
        *map(dict, connections),
    ]
    ordered = sorted(entries, key=lambda entry: (-entry["count"], entry["first"]))
    return ordered[:limit] + _merge_others(ordered[limit:]), sum(entry["count"] for entry in entries)


def _list_calls(entries: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Return container and call of each denial by seccomp."""
    return {(entry["container"]["id"], entry["operation"]) for entry in entries if entry["layer"] == "seccomp"}


def _merge_others(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry per layer and container, so that a container that varies names cannot hide the number of its denials."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        key = (entry["layer"], entry["denied"], entry["scope"], repr(entry["container"]))
        blank: dict[str, Any] = {
            "operation": "others",
            "detail": "too many different ones to list",
            "profile": None,
            "comm": "others",
            "exe": None,
            "candidates": [],
        }
        total = merged.setdefault(key, {**entry, **blank, "count": 0, "pids": []})
        _add_count(total, entry["count"], entry["first"], entry["last"], [])
    return sorted(merged.values(), key=lambda entry: -entry["count"])


def _add_count(entry: dict[str, Any], number: int, first: float, last: float, pids: Sequence[int]) -> None:
    entry["count"] += number
    entry["first"], entry["last"] = min(entry["first"], first), max(entry["last"], last)
    for pid in pids:
        if pid not in entry["pids"] and len(entry["pids"]) < _MAX_PIDS:
            entry["pids"].append(pid)


def _is_complete(fields: Mapping[str, str]) -> bool:
    """Return whether a seccomp record has the fields that are needed."""
    try:
        int(fields["code"], 16), int(fields["arch"], 16), int(fields["syscall"])
    except (KeyError, ValueError):
        return False
    return True
