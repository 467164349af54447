# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the lab, distinguished from others that later got the same number."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

POLITENESS = 5.0  # seconds between asking and ending


def parse_start_time(stat: str) -> str:
    """Return field 22 of ``/proc/PID/stat`` (man 5 proc), or "" for a zombie.

    The second field is the program's name in parentheses and may itself hold any character.
    """
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


def start_time(pid: int) -> str:
    """Return when the process started, in ticks since boot; "" if it does not run."""
    try:
        return parse_start_time(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""


def runs(pid: int, started: str) -> bool:
    """Say whether that very process still runs."""
    return started != "" and start_time(pid) == started


def end(pid: int, started: str) -> None:
    """End that very process: politely, then not, and wait until it is gone."""
    for number, patience in ((signal.SIGTERM, POLITENESS), (signal.SIGKILL, 30.0)):
        if not runs(pid, started):
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        limit = time.monotonic() + patience
        while runs(pid, started) and time.monotonic() < limit:
            time.sleep(0.02)
