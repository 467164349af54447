# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals out of audit messages: what was refused, by which layer, and equal ones counted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..seccomp.syscalls import AUDIT_ARCH, name_syscall
from .messages import APPARMOR, Message

_LONGEST = 200
_PIDS = 5
# Of AppArmor's words these say what was asked for; the rest says who asked.
_ASKED = (
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
_MACHINES = {number: name for name, number in AUDIT_ARCH.items()}


@dataclass(frozen=True)
class Denial:
    """layer: `apparmor` or `seccomp`. refused: False for what a complaining profile or an action `log` let through.

    operation: AppArmor's word, or the system call. detail: what it was asked for. profile: the label of the process, None where the message has none.
    """

    layer: str
    refused: bool
    operation: str
    detail: str
    profile: str | None
    comm: str
    exe: str | None


def of_message(message: Message) -> Denial | None:
    """None for a message that is about something else, such as a profile that was loaded, or what a rule `audit` let through."""
    fields = message.fields
    comm, exe = fields.get("comm", "unknown")[:_LONGEST], fields.get("exe")
    if message.kind == APPARMOR:
        verdict = fields.get("apparmor")
        if verdict not in ("DENIED", "KILLED", "ALLOWED"):
            return None
        detail = " ".join(f"{key}={fields[key]}" for key in _ASKED if key in fields)[:_LONGEST]
        return Denial("apparmor", verdict != "ALLOWED", fields.get("operation", "unknown"), detail, fields.get("profile"), comm, exe)
    if not message.kind or not _whole(fields):
        return None
    action = _ACTIONS.get(int(fields["code"], 16) & 0xFFFF0000, "unknown")
    machine = _MACHINES.get(int(fields["arch"], 16), "")
    try:
        call = name_syscall(machine, int(fields["syscall"]))
    except KeyError:
        call = f"syscall {fields['syscall']}"
    detail = f"action={action}" + ("" if machine else f" arch={fields['arch']}")
    return Denial("seccomp", action != "log", call, detail, fields.get("subj"), comm, exe)


def grouped(
    messages: Iterable[Message], whose: Callable[[Message, Denial], Mapping[str, Any]], most: int
) -> tuple[list[dict[str, Any]], int]:
    """Equal denials as one entry with `count`, `first` and `last` (seconds since the epoch) and the first PIDs; those that came most often first.

    whose: the container and how it is known. most: entries at most; of the others one remains a layer and container, which counts them.
    Returns also how many denials there were in all.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    total = 0
    for message in messages:
        denial = of_message(message)
        if denial is None:
            continue
        total += 1
        owner = dict(whose(message, denial))
        key = (denial, owner["scope"], owner["by"], repr(owner["container"]), repr(owner["candidates"]))
        entry = found.setdefault(key, {**asdict(denial), **owner, "count": 0, "first": message.time, "last": message.time, "pids": []})
        _count(entry, 1, message.time, message.time, [int(message.fields["pid"])] if message.fields.get("pid", "").isdigit() else [])
    ordered = sorted(found.values(), key=lambda entry: (-entry["count"], entry["first"]))
    return ordered[:most] + _others(ordered[most:]), total


def _others(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Many entries as one a layer and container: a container that varies its names must not hide how often it knocks."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        key = (entry["layer"], entry["refused"], entry["scope"], repr(entry["container"]))
        blank: dict[str, Any] = {
            "operation": "others",
            "detail": "too many different ones to list",
            "profile": None,
            "comm": "others",
            "exe": None,
            "candidates": [],
        }
        one = merged.setdefault(key, {**entry, **blank, "count": 0, "pids": []})
        _count(one, entry["count"], entry["first"], entry["last"], [])
    return sorted(merged.values(), key=lambda entry: -entry["count"])


def _count(entry: dict[str, Any], number: int, first: float, last: float, pids: Sequence[int]) -> None:
    entry["count"] += number
    entry["first"], entry["last"] = min(entry["first"], first), max(entry["last"], last)
    for pid in pids:
        if pid not in entry["pids"] and len(entry["pids"]) < _PIDS:
            entry["pids"].append(pid)


def _whole(fields: Mapping[str, str]) -> bool:
    """Whether a seccomp record has what it needs."""
    try:
        int(fields["code"], 16), int(fields["arch"], 16), int(fields["syscall"])
    except (KeyError, ValueError):
        return False
    return True
