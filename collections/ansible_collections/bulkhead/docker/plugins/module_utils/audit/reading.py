# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages and gaps of one source, and their combination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .gaps import BEGINS, RATE_LIMITED, UNREADABLE, find_final_burst, find_missing_serials
from .messages import Message


@dataclass
class Reading:
    """What one source contains. begins: time of the oldest entry, seconds since the epoch; None if unknown.

    unlimited: the source has messages that are not rate-limited. kernel: it contains the kernel's log. scopes: ID of a container, whether it started (or
    ended), and when. connections: when the egress rules logged one, and the line.
    """

    source: str
    messages: list[Message] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    begins: float | None = None
    unlimited: bool = False
    kernel: bool = False
    scopes: list[tuple[str, bool, float]] = field(default_factory=list)
    connections: list[tuple[float, str]] = field(default_factory=list)


@dataclass
class CombinedReading:
    """messages: each once, by time. gaps: of all sources together. sources: those with messages."""

    messages: list[Message]
    gaps: list[dict[str, Any]]
    sources: list[str]


def combine_readings(readings: Sequence[Reading], since: float, burst: int, interval: float, auditd: bool) -> CombinedReading:
    """Return the messages and gaps of all sources together.

    A gap of one source does not count if the serial numbers show that another source has the messages. burst, interval: limit of the kernel's log, as
    messages and seconds. auditd: whether it receives the messages.
    """
    messages: dict[tuple[int, int, int, str], Message] = {}
    for reading in readings:
        for message in reading.messages:
            if message.time >= since:
                known = messages.setdefault(message.key, message)
                if not known.boot and message.boot:
                    messages[message.key] = message
    ordered = sorted(messages.values(), key=lambda message: (message.time, message.serial))
    gaps = find_missing_serials(ordered, "audit serials")
    unlimited = any(reading.unlimited for reading in readings)
    gaps += _select_gaps(readings, since, bool(gaps), unlimited, auditd)
    if not unlimited:
        gaps += find_final_burst(ordered, burst, interval)
    return CombinedReading(ordered, gaps, [reading.source for reading in readings if reading.messages])


def _select_gaps(readings: Sequence[Reading], since: float, holes: bool, unlimited: bool, auditd: bool) -> list[dict[str, Any]]:
    # While auditd receives the messages, a source counts only if it has some; otherwise the kernel's log has them.
    counted = [reading for reading in readings if reading.messages or (reading.kernel and not auditd)]
    covered = any(reading.begins is not None and reading.begins <= since for reading in counted)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for reading in readings:
        for gap in reading.gaps:
            if gap["kind"] in (BEGINS, UNREADABLE) and covered:
                continue
            if gap["kind"] == RATE_LIMITED and unlimited and not holes:
                continue  # another source has all messages
            # The journal and /dev/kmsg both contain the kernel's line.
            found.setdefault((gap["kind"], gap["lost"], gap["text"]), gap)
    return list(found.values())
