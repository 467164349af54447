# SPDX-License-Identifier: GPL-3.0-or-later
"""All sources of a host, read at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..host.root import Host
from . import journal, kmsg, logs, status
from .gaps import UNREADABLE, gap
from .reading import Combined, Reading, combine

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass
class Heard:
    """combined: the messages. journal: what the journal says of containers, too. audit: the kernel's own word on its audit."""

    combined: Combined
    journal: Reading
    audit: dict[str, Any]


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of `24h`, `1764000000.5` or `2026-11-24T12:00:00+01:00`. Raises ValueError with a sentence."""
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
                f"since: {text!r} is no moment; write an age such as 15m, 24h or 7d, an ISO 8601 time, or seconds since the epoch"
            ) from None
    if not 0 <= when <= now:
        raise ValueError(
            f"since: {text!r} lies {'in the future of this host' if when > now else 'before 1970'}; write a moment that has been"
        )
    return when


def gather(host: Host, since: float, limit: int) -> Heard:
    """limit: how many entries of each log are looked through."""
    found, gaps = status.look(host)
    readings = [journal.read(since, limit), kmsg.read(since), logs.read(host, since, limit)]
    auditd = bool(found["auditd_pid"])
    if auditd and not any(reading.unlimited for reading in readings):
        text = f"auditd (PID {found['auditd_pid']}) takes the kernel's messages, and its log has none of them"
        gaps.append(gap(UNREADABLE, logs.SOURCE, text, since))
    combined = combine(readings, since, _number(host, "printk_ratelimit_burst", 10), _number(host, "printk_ratelimit", 5), auditd)
    combined.gaps = gaps + combined.gaps
    return Heard(combined, readings[0], found)


def _number(host: Host, name: str, default: int) -> int:
    text = (host.read(f"/proc/sys/kernel/{name}") or "").strip()
    return int(text) if text.isdigit() else default
