# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that write to their own log, run side by side, and the test counts read from these logs."""

from __future__ import annotations

import math
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
INTERVAL = 30.0  # seconds between two progress lines
# Molecule's steps, Ansible's plays and tasks, pytest's tests, and the lines of scripts/lint.
PROGRESS = re.compile(
    r"(?:INFO\s+(.+ ➜ .+: Executing)|(TASK \[.*\])|(PLAY \[.*\])|(test_\w+\.py::.*)|(Running sanity test .*)|^ +(\S.* ok \(\d+ s\)))"
)


@dataclass
class Tally:
    """How many tests passed and failed, and how many jobs were left out."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        failed, skipped = f"{self.failed} failed, " if self.failed else "", f", {self.skipped} skipped" if self.skipped else ""
        return f"{failed}{self.passed} passed{skipped}"


def count_tests(log: str) -> Tally:
    """Return the sum of the closing lines of all pytest runs in a log."""
    total = Tally()
    for line in log.splitlines():
        closing = CLOSING.match(line.strip())
        if not closing:
            continue
        counts = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", closing[1])}
        failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
        total += Tally(counts.get("passed", 0), failed)
    return total


def format_duration(seconds: float) -> str:
    """Return seconds as `7 s` or `3 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@dataclass
class Job:
    """One command in its own process group, with its output in a log.

    after: names of jobs that end before this one starts. limit: seconds after which it is stopped.
    always: it counts as a test even when its log contains tests. forbidden: a pattern that must not be in the log.
    cleanup: a command that is run when the job was stopped. latest_start: seconds since the start of the first job after which it is left out.
    """

    name: str
    command: Sequence[str]
    log: Path
    after: frozenset[str] = frozenset()
    limit: float = 3600.0
    always: bool = False
    forbidden: re.Pattern[str] | None = None
    cleanup: Sequence[str] = ()
    latest_start: float = math.inf
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
            # The command may have ended before this call: the last write to its log is the better time.
            self.ended = time.monotonic() - (time.time() - self.log.stat().st_mtime)
        return code

    def seconds(self) -> float:
        """Return for how long the command has been running, or ran."""
        return (self.ended or time.monotonic()) - self.began

    def stop(self, grace: float = 60.0) -> None:
        """Stop the command and its children, first with signals that let them clean up."""
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
        if self.cleanup:
            subprocess.run(self.cleanup, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def read_log(self) -> str:
        """Return the log so far, without colors."""
        try:
            return ANSI.sub("", self.log.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return ""

    def tail(self, lines: int) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.read_log().splitlines()[-lines:])

    def describe_progress(self) -> str:
        """Return what the command is doing, from the last lines of its log."""
        for line in reversed(self.read_log().splitlines()):
            match = PROGRESS.search(line)
            if match:
                return next(group for group in match.groups() if group)
        return "running"

    def judge(self) -> Tally:
        """Return the tests of an ended command; one without tests, or with `always`, counts as one test itself."""
        log = self.read_log()
        ok = self.poll() == 0 and not (self.forbidden and self.forbidden.search(log))
        counts = count_tests(log)
        if not ok and not counts.failed:
            return counts + Tally(0, 1)
        if ok and (self.always or not counts.passed):
            return counts + Tally(1, 0)
        return counts


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def run_jobs(jobs: Sequence[Job], lanes: int, lines: int = 120) -> dict[str, Tally]:
    """Run jobs side by side in the given order and return the tests of each; a job that is left out counts as skipped.

    A job waits for those that it names in `after`, and is left out with them. A line every half minute shows what is running. The last
    `lines` lines of the log of a failed job are printed. No process is left behind.
    """
    waiting, running = list(jobs), list[Job]()
    results: dict[str, Tally] = {}
    unfinished = {job.name for job in jobs}
    began = last = time.monotonic()
    try:
        while waiting or running:
            for job in [
                job
                for job in waiting
                if time.monotonic() - began > job.latest_start or any(results[name].skipped for name in job.after & results.keys())
            ]:
                waiting.remove(job)
                results[job.name] = Tally(skipped=1)
                say(f"    {job.name}: left out, because {format_duration(time.monotonic() - began)} have passed")
            for job in [job for job in waiting if not job.after & unfinished][: lanes - len(running)]:
                waiting.remove(job)
                say(f"    {job.name}: started (log: {job.log})")
                job.start()
                running.append(job)
            time.sleep(0.5)
            for job in running[:]:
                if job.poll() is None and job.seconds() > job.limit:
                    say(f"    {job.name}: stopped, because it ran longer than {format_duration(job.limit)}")
                    job.stop()
                if job.poll() is not None:
                    running.remove(job)
                    unfinished.remove(job.name)
                    results[job.name] = _report(job, lines)
            if time.monotonic() - last >= INTERVAL:
                last = time.monotonic()
                for job in running:
                    say(f"    {job.name}: {format_duration(job.seconds())}: {job.describe_progress()}")
    finally:
        for job in running:
            job.stop()
    return results


def _report(job: Job, lines: int) -> Tally:
    """Print how a job ended and return its tests."""
    counts = job.judge()
    if counts.failed:
        say(f"--- last {lines} lines of {job.log}\n{job.tail(lines)}\n---")
        if job.poll() == 0 and job.forbidden and (found := job.forbidden.search(job.read_log())):
            say(f"    {job.name}: a step did nothing: {found[0]}")
    say(f"    {job.name}: {'FAILED' if counts.failed else 'ok'} after {format_duration(job.seconds())}: {counts}")
    return counts
