# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads all sources of audit messages of a host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..host.root import Host
from . import journal, kmsg, logs, status
from .gaps import UNREADABLE, build_gap
from .reading import CombinedReading, Reading, combine_readings

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass
class GatheredMessages:
    """combined: the messages of all sources. journal: the reading of the journal, which also has scopes of containers. audit: state of the kernel's audit.

    connections: what the egress rules logged, from the journal, or from the kernel's buffer if the journal has none.
    """

    combined: CombinedReading
    journal: Reading
    audit: dict[str, Any]
    connections: list[tuple[float, str]]


def parse_since(text: str, now: float) -> float:
    """Return `24h`, `1764000000.5` or `2026-11-24T12:00:00+01:00` as seconds since the epoch. Raises ValueError with a message."""
    age = _AGE.fullmatch(text.strip())
    if age:
        return now - float(age[1]) * _SECONDS[age[2]]
    try:
        when = float(text)
    except ValueError:
        try:
            when = datetime.fromisoformat(text.strip()).timestamp()
        except ValueError:
            raise ValueError(
                f"since: {text!r} is not a time; write an age such as 15m, 24h or 7d, an ISO 8601 time, or seconds since the epoch"
            ) from None
    if not 0 <= when <= now:
        raise ValueError(f"since: {text!r} is {'in the future of this host' if when > now else 'before 1970'}; write a time in the past")
    return when


def gather_messages(host: Host, since: float, limit: int) -> GatheredMessages:
    """Return the messages of all sources. limit: the maximum number of entries to read of each log."""
    found, gaps = status.read_audit_status(host)
    readings = [journal.read_journal(since, limit), kmsg.read_kmsg(since), logs.read_auditd_log(host, since, limit)]
    auditd = bool(found["auditd_pid"])
    if auditd and not any(reading.unlimited for reading in readings):
        text = f"auditd (PID {found['auditd_pid']}) receives the kernel's messages, and its log contains none of them"
        gaps.append(build_gap(UNREADABLE, logs.SOURCE, text, since))
    combined = combine_readings(
        readings, since, _read_number(host, "printk_ratelimit_burst", 10), _read_number(host, "printk_ratelimit", 5), auditd
    )
    combined.gaps = gaps + combined.gaps
    return GatheredMessages(combined, readings[0], found, readings[0].connections or readings[1].connections)


def _read_number(host: Host, name: str, default: int) -> int:
    text = (host.read(f"/proc/sys/kernel/{name}") or "").strip()
    return int(text) if text.isdigit() else default
