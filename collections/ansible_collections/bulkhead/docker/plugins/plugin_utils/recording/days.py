# SPDX-License-Identifier: GPL-3.0-or-later
"""Days as texts (YYYY-MM-DD, in UTC): of times, in ranges, and how far they are apart. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta


def format_day(seconds: float) -> str:
    """Return the day of a time in seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def format_time(seconds: float) -> str:
    """Return a time as YYYY-MM-DDTHH:MM:SSZ."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def count_days(first: str, last: str) -> int:
    """Return how many days lie between two days; 0 if they are the same."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def list_days(first: str, last: str) -> list[str]:
    """Return all days from the first to the last one."""
    begin = date.fromisoformat(first)
    return [(begin + timedelta(days=number)).isoformat() for number in range(count_days(first, last) + 1)]


def join_days(days: Iterable[str]) -> list[str]:
    """Return ranges of days, such as `2026-11-20 to 2026-11-28`, and single days."""
    ranges: list[tuple[str, str]] = []
    for day in sorted(days):
        if ranges and count_days(ranges[-1][1], day) == 1:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return [first if first == last else f"{first} to {last}" for first, last in ranges]
