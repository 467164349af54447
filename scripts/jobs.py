# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that run with a log of their own, and what their logs say about tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)")
# pytest's closing line: "== 1 failed, 2 passed, 1 skipped in 0.12s ==", without the rulers under -q.
CLOSING = re.compile(r"^(?:=+ )?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s")


@dataclass
class Tally:
    """How many tests passed and failed."""

    passed: int = 0
    failed: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.passed + other.passed, self.failed + other.failed)

    def __str__(self) -> str:
        return (f"{self.failed} failed, " if self.failed else "") + f"{self.passed} passed"


def tally(log: str) -> Tally:
    """Add up the closing lines of every pytest run in a log."""
    total = Tally()
    for line in log.splitlines():
        closing = CLOSING.match(line.strip())
        if not closing:
            continue
        counts = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", closing[1])}
        failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
        total += Tally(counts.get("passed", 0), failed)
    return total


def duration(seconds: float) -> str:
    """Write seconds as 7 s or 3 min 05 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@dataclass
class Job:
    """One command in a process group of its own, its output in a file."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    began: float = field(default=0.0)
    ended: float = field(default=0.0)

    def start(self) -> None:
        """Start the command."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def poll(self) -> int | None:
        """Return the exit code, or None while the command runs."""
        assert self.process
        code = self.process.poll()
        if code is not None and not self.ended:
            # It may have ended long before anybody asks: its log shows when it spoke last.
            self.ended = time.monotonic() - (time.time() - self.log.stat().st_mtime)
        return code

    def seconds(self) -> float:
        """Return how long the command has run, or ran."""
        return (self.ended or time.monotonic()) - self.began

    def stop(self, grace: float = 60.0) -> None:
        """End the command and what it started: first politely, so that it can clean up."""
        if self.process is None or self.poll() is not None:
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            os.killpg(self.process.pid, number)
            try:
                self.process.wait(grace)
                break
            except subprocess.TimeoutExpired:
                continue
        self.poll()

    def text(self) -> str:
        """Return the log so far, without colours."""
        try:
            return ANSI.sub("", self.log.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return ""

    def tail(self, lines: int) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.text().splitlines()[-lines:])
