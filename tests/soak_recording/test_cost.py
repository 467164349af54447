# SPDX-License-Identifier: GPL-3.0-or-later
"""The medians of the cost."""

from __future__ import annotations

from soak_recording.cost import summarize


def test_each_round_is_compared_with_itself() -> None:
    off = [{"round": number, "state": "off", "nginx": 100 * number, "redis": 10.0, "start": 1.0} for number in (1, 2)]
    figures = {"redis": 9.0, "start": 1.1, "nanoseconds": {"sys_enter": 200.0}}
    calls = [{"round": number, "state": "calls", "nginx": 90 * number, **figures} for number in (1, 2)]
    assert summarize([*off, *calls]) == {"calls": {"nginx": 0.9, "redis": 0.9, "start": 1.1, "sys_enter, ns": 200.0}}
