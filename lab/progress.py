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
_SPINNER = re.compile(r"\[[ *]{6}\] ")  # systemd's, while a start job runs
HEARTBEAT = 10.0  # seconds without output before a line shows what is being waited for


def say(text: str) -> None:
    """Print one line with the seconds since the start of the program."""
    print(f"[{time.monotonic() - _START:6.1f} s] {text}", file=sys.stderr, flush=True)


def clean_lines(text: str) -> list[str]:
    """Return the lines of a console or log without colours, empty lines and what a spinner overwrote."""
    kept: list[str] = []
    for raw in _ESCAPES.sub("", text).splitlines():
        line = "".join(c for c in raw if c.isprintable() or c == "\t").strip()
        if not line or line == "M":  # systemd's spinner ends in a reverse line feed, ESC M
            continue
        if kept and _SPINNER.match(kept[-1]) and _SPINNER.match(line):
            kept.pop()
        kept.append(line)
    return kept


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log, cleaned; empty if there is none."""
    try:
        with open(path, "rb") as log:
            log.seek(max(0, path.stat().st_size - 65536))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(clean_lines(text)[-lines:])


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
    with open(log, "ab") as out, open(stdin or "/dev/null", "rb") as source:
        before = out.tell()
        heartbeat = Heartbeat(label, lambda: tail(log, 1)[:100] if log.stat().st_size > before else "")
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
