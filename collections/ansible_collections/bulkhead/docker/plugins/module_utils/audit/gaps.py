# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds log gaps: reasons why messages may be missing among those that were read. Pure.

The kernel limits the audit records in its log (10 in 5 s: /proc/sys/kernel/printk_ratelimit_burst, printk_ratelimit) and drops the rest
(kernel/audit.c: kauditd_printk_skb). It numbers all of them, so missing ones can be counted.
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
REBOOTED = "rebooted"
LOST = "lost"
SILENT = "silent"
UNREADABLE = "unreadable"
CUT = "cut"

_SUPPRESSED = re.compile(r"kauditd_printk_skb: (\d+) callbacks suppressed")
_RESTART = 100  # serials of several processors are slightly out of order; a larger drop is another boot
_SHOWN = 3


def build_gap(
    kind: str, source: str, text: str, begin: float | None = None, end: float | None = None, lost: int | None = None
) -> dict[str, Any]:
    """Return a log gap. begin, end: seconds since the epoch; None if unknown. lost: the number of messages; None if unknown."""
    return {"kind": kind, "source": source, "from": begin, "to": end, "lost": lost, "text": text}


def parse_suppressed(line: str) -> int:
    """Return how many audit records the kernel dropped, from a line of its log; 0 for any other line (lib/ratelimit.c)."""
    match = _SUPPRESSED.search(line)
    return int(match[1]) if match else 0


def find_missing_serials(messages: Sequence[Message], source: str) -> list[dict[str, Any]]:
    """Return one gap per boot with the serial numbers that no source has. messages: sorted by time."""
    found = []
    for boot in _split_boots(messages):
        seen = sorted({message.serial: message.time for message in boot}.items())
        holes = [(a, b) for a, b in pairwise(seen) if b[0] - a[0] > 1]
        if not holes:
            continue
        lost = sum(b[0] - a[0] - 1 for a, b in holes)
        spans = ", ".join(f"{a[0] + 1}" if b[0] - a[0] == 2 else f"{a[0] + 1} to {b[0] - 1}" for a, b in holes[:_SHOWN])
        more = f" and {len(holes) - _SHOWN} more spans" if len(holes) > _SHOWN else ""
        text = f"{lost} of the kernel's audit messages are in no log: it numbers them, and {spans}{more} are missing"
        times = [time for hole in holes for unused, time in hole]
        found.append(build_gap(SERIALS, source, text, min(times), max(times), lost))
    return found


def find_final_burst(messages: Sequence[Message], burst: int, interval: float) -> list[dict[str, Any]]:
    """Return a gap if the log ends with a full burst: the kernel reports dropped messages only with the next message.

    messages: those of the kernel's log, sorted by time, if no other source has messages. burst: the maximum number within `interval` seconds.
    """
    last = list(messages[-burst:])
    if burst <= 0 or len(last) < burst or last[-1].time - last[0].time > interval:
        return []
    text = f"the last {burst} messages came within {interval:g} s, which is as many as the kernel logs: further ones may have been dropped without a report yet"
    return [build_gap(RATE_LIMITED, "printk_ratelimit", text, last[-1].time)]


def _split_boots(messages: Iterable[Message]) -> list[list[Message]]:
    boots: list[list[Message]] = []
    for message in messages:
        last = boots[-1][-1] if boots else None
        if last is None or (message.boot and last.boot and message.boot != last.boot) or message.serial < last.serial - _RESTART:
            boots.append([])
        boots[-1].append(message)
    return boots
