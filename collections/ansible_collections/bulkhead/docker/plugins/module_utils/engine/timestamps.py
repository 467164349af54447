# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's times: RFC 3339 with up to nine decimals, and the year 1 for an event that has not happened (Go's zero time)."""

from __future__ import annotations

import re
from datetime import datetime

_RFC3339 = re.compile(r"([^.]+?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


def parse_timestamp(text: str) -> float | None:
    """Return seconds since the epoch; None for the zero time, an empty text and anything else that is not a time."""
    match = None if text.startswith("0001") else _RFC3339.fullmatch(text)
    if not match:
        return None
    try:  # `fromisoformat` takes at most six decimals
        return datetime.fromisoformat(f"{match[1]}.{(match[2] or '')[:6].ljust(6, '0')}{match[3]}").timestamp()
    except ValueError:
        return None
