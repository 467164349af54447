# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the lab, distinguished from later processes with the same PID."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

TERM_SECONDS = 5.0  # between SIGTERM and SIGKILL


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


def is_running(pid: int, started: str) -> bool:
    """Return whether exactly this process still runs."""
    return started != "" and start_time(pid) == started


def end_process(pid: int, started: str) -> None:
    """End exactly this process with SIGTERM, then with SIGKILL, and wait until it has ended."""
    for number, patience in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, 30.0)):
        if not is_running(pid, started):
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        limit = time.monotonic() + patience
        while is_running(pid, started) and time.monotonic() < limit:
            time.sleep(0.02)
