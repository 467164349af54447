# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress lines on standard error, so that standard output carries results alone."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import LabError

_START = time.monotonic()
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[^\[])")  # colours and cursor moves of a terminal
HEARTBEAT = 10.0  # seconds without a line before we say that we are still there


def say(text: str) -> None:
    """Print one line with the seconds since the start of the program."""
    print(f"[{time.monotonic() - _START:6.1f} s] {text}", file=sys.stderr, flush=True)


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log, without control characters; empty if there is none."""
    try:
        text = path.read_bytes()[-65536:].decode("utf-8", "replace")
    except OSError:
        return ""
    text = _ESCAPES.sub("", text)
    clean = ["".join(c for c in line if c.isprintable() or c == "\t").strip() for line in text.splitlines()]
    return "\n".join([line for line in clean if line][-lines:])


class Heartbeat:
    """Says every ``HEARTBEAT`` seconds what is still being waited for."""

    def __init__(self, label: str, detail: Callable[[], str] = lambda: "") -> None:
        self._label = label
        self._detail = detail
        self._start = self._last = time.monotonic()

    def elapsed(self) -> float:
        """Return the seconds since this wait began."""
        return time.monotonic() - self._start

    def beat(self) -> None:
        """Print a line if the last one is long enough ago."""
        now = time.monotonic()
        if now - self._last >= HEARTBEAT:
            self._last = now
            detail = self._detail()
            say(f"{self._label}: {now - self._start:.0f} s{': ' + detail if detail else ''}")


def run_logged(
    command: Sequence[str],
    log: Path,
    label: str,
    *,
    env: dict[str, str] | None = None,
    stdin: Path | None = None,
) -> None:
    """Run a long command with its output in ``log``; raise LabError with the log's tail if it fails."""
    heartbeat = Heartbeat(label, lambda: tail(log, 1)[:100])
    with open(log, "ab") as out, open(stdin or "/dev/null", "rb") as source:
        process = subprocess.Popen(command, stdin=source, stdout=out, stderr=subprocess.STDOUT, env=env)
        try:
            while True:
                try:
                    status = process.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    heartbeat.beat()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status != 0:
        raise LabError(f"{label}: {command[0]} ended with status {status}; its last lines:\n{tail(log)}")
    say(f"{label}: done in {heartbeat.elapsed():.1f} s")
