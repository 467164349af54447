# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be missing among the messages that were read: a gap each, so that silence is never taken for peace. Pure.

The kernel writes audit records to its log at most so many in a row (10 in 5 s: /proc/sys/kernel/printk_ratelimit_burst, printk_ratelimit), and drops the
rest (kernel/audit.c: kauditd_printk_skb). It numbers them all, so that what is missing can be counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from .messages import Message

RATE_LIMITED = "rate_limited"
SERIALS = "serials"
MISSED = "missed"
BEGINS = "begins"
LOST = "lost"
SILENT = "silent"
UNREADABLE = "unreadable"
CUT = "cut"

_SUPPRESSED = re.compile(r"kauditd_printk_skb: (\d+) callbacks suppressed")
_RESTART = 100  # serials come a little out of order from several processors; a drop by more is another boot
_SHOWN = 3


def gap(kind: str, source: str, text: str, begin: float | None = None, end: float | None = None, lost: int | None = None) -> dict[str, Any]:
    """begin, end: between which moments, seconds since the epoch, as far as known. lost: how many messages, None where nobody knows."""
    return {"kind": kind, "source": source, "from": begin, "to": end, "lost": lost, "text": text}


def suppressed(line: str) -> int:
    """How many audit records the kernel's log says it dropped; 0 for any other line (lib/ratelimit.c)."""
    match = _SUPPRESSED.search(line)
    return int(match[1]) if match else 0


def missing_serials(messages: Sequence[Message], source: str) -> list[dict[str, Any]]:
    """Numbers that no source has, between two that one has; one gap a boot. messages: sorted by time."""
    found = []
    for boot in _boots(messages):
        seen = sorted({message.serial: message.time for message in boot}.items())
        holes = [(a, b) for a, b in pairwise(seen) if b[0] - a[0] > 1]
        if not holes:
            continue
        lost = sum(b[0] - a[0] - 1 for a, b in holes)
        spans = ", ".join(f"{a[0] + 1}" if b[0] - a[0] == 2 else f"{a[0] + 1} to {b[0] - 1}" for a, b in holes[:_SHOWN])
        more = f" and {len(holes) - _SHOWN} more spans" if len(holes) > _SHOWN else ""
        text = f"{lost} of the kernel's audit messages are in no log: it numbers them, and {spans}{more} are missing"
        times = [time for hole in holes for unused, time in hole]
        found.append(gap(SERIALS, source, text, min(times), max(times), lost))
    return found


def cut_off(messages: Sequence[Message], burst: int, interval: float) -> list[dict[str, Any]]:
    """The kernel's log is limited, and says so only when it next logs a message: a full burst at the very end hides whether more came.

    messages: those of the kernel's log, sorted by time, of a host where nothing but this log has them. burst: as many within `interval` seconds.
    """
    last = list(messages[-burst:])
    if burst <= 0 or len(last) < burst or last[-1].time - last[0].time > interval:
        return []
    text = f"the last {burst} messages came within {interval:g} s, which is as many as the kernel logs: more may have followed, and it has not said so yet"
    return [gap(RATE_LIMITED, "printk_ratelimit", text, last[-1].time)]


def _boots(messages: Iterable[Message]) -> list[list[Message]]:
    boots: list[list[Message]] = []
    for message in messages:
        last = boots[-1][-1] if boots else None
        if last is None or (message.boot and last.boot and message.boot != last.boot) or message.serial < last.serial - _RESTART:
            boots.append([])
        boots[-1].append(message)
    return boots
