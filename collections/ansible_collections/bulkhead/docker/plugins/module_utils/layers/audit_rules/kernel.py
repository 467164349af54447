# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses what the kernel's audit answers: its state and its rules, in their order (linux/audit.h). Pure; control node only."""

from __future__ import annotations

import base64
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...host.audit_loading import EQUAL, HEADER, KEY, LAYOUT

TASK, EXIT, EXCLUDE = 1, 4, 5  # AUDIT_FILTER_TASK, AUDIT_FILTER_EXIT, AUDIT_FILTER_EXCLUDE
NEVER, ALWAYS = 0, 2  # AUDIT_NEVER, AUDIT_ALWAYS
IMMUTABLE = 2  # audit_status.enabled: no rule can be changed before the next boot
_ERROR, _STATUS, _RULE = 2, 1000, 1013  # NLMSG_ERROR, AUDIT_GET, AUDIT_LIST_RULES
_MESSAGE_TYPE, _WATCH, _PERM, _DIR, _FILTERKEY = 12, 105, 106, 107, 210  # AUDIT_MSGTYPE and so on
# Fields whose value is the length of a text: parts of security labels, AUDIT_WATCH, AUDIT_DIR, AUDIT_EXE, AUDIT_FILTERKEY.
_TEXTS = frozenset({13, 14, 15, 16, 17, 19, 20, 21, 22, 23, _WATCH, _DIR, 112, _FILTERKEY})
_FIELDS = 64


@dataclass(frozen=True)
class Rule:
    """One rule of the kernel.

    path: what it watches; empty without one. folder: whether all below it. narrow: whether it also has other conditions, or is of single system
    calls or of one architecture. types: the message types that a rule of filter `exclude` names.
    """

    filter: int
    action: int
    path: str = ""
    folder: bool = False
    permissions: str = "rwxa"
    key: str = ""
    narrow: bool = False
    types: tuple[int, ...] = ()

    @property
    def is_managed(self) -> bool:
        """Whether Bulkhead adds such rules, or auditctl by Bulkhead's file."""
        return self.key == KEY and bool(self.path) and not self.narrow and (self.filter, self.action) == (EXIT, ALWAYS) and self.is_complete

    @property
    def is_complete(self) -> bool:
        return {"w", "a"} <= set(self.permissions)


@dataclass(frozen=True)
class Kernel:
    """State of the kernel's audit. enabled: 0, 1, or IMMUTABLE. receiver: PID of auditd; 0 without one."""

    enabled: int
    receiver: int
    rules: tuple[Rule, ...]


def parse_kernel(state: Mapping[str, Any]) -> Kernel:
    """Return the state that host/audit_rules.py read. Raises ValueError if the kernel did not answer, or not as expected."""
    if state["error"]:
        raise ValueError(state["error"])
    status, rules = None, []
    try:
        for kind, data in _split_messages(zlib.decompress(base64.b64decode(state["kernel"]))):
            if kind == _ERROR:
                number = -struct.unpack_from("=i", data)[0]
                raise ValueError(os.strerror(number))
            if kind == _STATUS:
                status = struct.unpack_from("=4I", data)
            elif kind == _RULE:
                rules.append(parse_rule(data))
    except (struct.error, zlib.error) as error:
        raise ValueError(f"an answer of the kernel's audit is not understood ({error})") from error
    if status is None:
        raise ValueError("the kernel's audit did not report its state")
    return Kernel(status[1], status[3], tuple(rules))


def _split_messages(answers: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each message. The kernel aligns them to 4 bytes."""
    at = 0
    while at < len(answers):
        length, kind = HEADER.unpack_from(answers, at)[:2]
        if length < HEADER.size or at + length > len(answers):
            raise ValueError("an answer of the kernel's audit is incomplete")
        yield kind, answers[at + HEADER.size : at + length]
        at += length + 3 & ~3


def parse_rule(data: bytes) -> Rule:
    """Return one struct audit_rule_data. Raises struct.error, ValueError."""
    numbers = LAYOUT.unpack_from(data)
    flags, action, count = numbers[:3]
    if count > _FIELDS:
        raise ValueError(f"an audit rule has {count} fields")
    # The last word has no system calls, but classes of them, which the kernel resolves (kernel/auditfilter.c: audit_to_entry_common).
    found: dict[str, Any] = {"narrow": flags & 0xF == EXIT and any(word != 0xFFFFFFFF for word in numbers[3:66])}
    at, types = LAYOUT.size, []
    for number in range(count):
        field, value, operator = (numbers[start + number] for start in (67, 131, 195))
        text = ""
        if field in _TEXTS:
            text = data[at : at + value].decode("utf-8", "surrogateescape")
            at += value
        if field in (_WATCH, _DIR) and operator == EQUAL and "path" not in found:
            found |= {"path": text, "folder": field == _DIR}
        elif field == _PERM and operator == EQUAL:
            found["permissions"] = "".join(letter for bit, letter in ((4, "r"), (2, "w"), (1, "x"), (8, "a")) if value & bit)
        elif field == _FILTERKEY:
            found["key"] = text
        elif field == _MESSAGE_TYPE and operator == EQUAL:
            types.append(value)
        else:
            found["narrow"] = True
    return Rule(flags & 0xF, action, types=tuple(types), **found)
