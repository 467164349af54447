# SPDX-License-Identifier: GPL-3.0-or-later
"""What one source had, and all of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .gaps import BEGINS, RATE_LIMITED, UNREADABLE, cut_off, missing_serials
from .messages import Message


@dataclass
class Reading:
    """begins: of when the oldest entry is, seconds since the epoch; None where it is not known. unlimited: the source has messages that no rate limit
    has thinned out. kernel: it has the kernel's log. scopes: a container's ID, whether it began (or ended), and when.
    """

    source: str
    messages: list[Message] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    begins: float | None = None
    unlimited: bool = False
    kernel: bool = False
    scopes: list[tuple[str, bool, float]] = field(default_factory=list)


@dataclass
class Combined:
    """messages: each once, by time. gaps: what is missing in spite of all sources. sources: those that had anything."""

    messages: list[Message]
    gaps: list[dict[str, Any]]
    sources: list[str]


def combine(readings: Sequence[Reading], since: float, burst: int, interval: float, auditd: bool) -> Combined:
    """What several sources know together. burst, interval: the limit of the kernel's log, messages in seconds. auditd: whether it takes the messages.

    A source's own loss is none where the numbers of the messages show that another one has what is missing.
    """
    messages: dict[tuple[int, int, int, str], Message] = {}
    for reading in readings:
        for message in reading.messages:
            if message.time >= since:
                known = messages.setdefault(message.key, message)
                if not known.boot and message.boot:
                    messages[message.key] = message
    ordered = sorted(messages.values(), key=lambda message: (message.time, message.serial))
    gaps = missing_serials(ordered, "audit serials")
    unlimited = any(reading.unlimited for reading in readings)
    gaps += _own(readings, since, bool(gaps), unlimited, auditd)
    if not unlimited:
        gaps += cut_off(ordered, burst, interval)
    return Combined(ordered, gaps, [reading.source for reading in readings if reading.messages])


def _own(readings: Sequence[Reading], since: float, holes: bool, unlimited: bool, auditd: bool) -> list[dict[str, Any]]:
    # While auditd takes the messages, a source is one only by having some; otherwise the kernel's log has them.
    counted = [reading for reading in readings if reading.messages or (reading.kernel and not auditd)]
    covered = any(reading.begins is not None and reading.begins <= since for reading in counted)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for reading in readings:
        for gap in reading.gaps:
            if gap["kind"] in (BEGINS, UNREADABLE) and covered:
                continue
            if gap["kind"] == RATE_LIMITED and unlimited and not holes:
                continue  # the kernel's log is thinner, and another source has it all
            # The journal and /dev/kmsg both have the kernel's line.
            found.setdefault((gap["kind"], gap["lost"], gap["text"]), gap)
    return list(found.values())
