# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading pytest's closing lines out of logs, and jobs that must end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from jobs import Job, Tally, count_tests, format_duration, run_jobs


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", Tally(0, 0)),
        ("===== 5 passed in 0.30s =====", Tally(5, 0)),
        ("= 1 failed, 2 passed, 3 skipped, 1 warning in 63.20s (0:01:03) =", Tally(2, 1)),
        ("===== 2 passed, 1 error in 1.00s =====", Tally(2, 1)),
        ("===== 2 errors in 1.00s =====", Tally(0, 2)),
        ("7 passed in 0.10s", Tally(7, 0)),
        ("== 5 passed in 0.3s ==\nnoise\n== 2 failed in 0.3s ==", Tally(5, 2)),
        ("===== no tests ran in 0.01s =====", Tally(0, 0)),
        ("we saw 3 failed in 2 places", Tally(0, 0)),
    ],
)
def test_count_tests(log: str, expected: Tally) -> None:
    """Every closing line counts, and nothing that only looks like one."""
    assert count_tests(log) == expected


def test_closing_line_can_be_read_back() -> None:
    """Our own last line has the form that we read."""
    assert count_tests(f"===== {Tally(12, 3)} in 4.00s =====") == Tally(12, 3)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")])
def test_duration(seconds: float, text: str) -> None:
    """Minutes appear when there are any."""
    assert format_duration(seconds) == text


def test_job_keeps_its_log_and_code(tmp_path: Path) -> None:
    """Output of both streams lands in the log, without colours when read."""
    job = Job("x", ["sh", "-c", r"printf '\033[31mred\033[0m\n'; echo two >&2; exit 3"], tmp_path / "logs" / "x.log")
    job.start()
    assert job.process
    assert job.process.wait(10) == 3
    assert job.poll() == 3
    assert job.tail(5) == "red\ntwo"


def test_seconds_of_a_job_end_with_its_last_output(tmp_path: Path) -> None:
    job, began = Job("x", ["echo", "done"], tmp_path / "x.log"), time.monotonic()
    job.start()
    assert job.process
    job.process.wait(10)
    time.sleep(0.5)
    assert job.poll() == 0
    assert job.seconds() < time.monotonic() - began - 0.4


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_stop_reaches_grandchildren(tmp_path: Path) -> None:
    """A job that ignores the polite signals is ended all the same, with what it started."""
    marker = tmp_path / "marker"
    job = Job("x", ["bash", "-c", f"trap '' INT TERM; sleep 60 & echo $! > {marker}; wait; wait"], tmp_path / "x.log")
    job.start()
    while not marker.exists() or not marker.read_text():
        assert job.poll() is None
    job.stop(grace=0.3)
    assert job.poll() is not None
    deadline = time.monotonic() + 30  # a killed process goes when it is next scheduled
    while runs(int(marker.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_late_job_and_those_after_it_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def job(name: str, command: str, **settings: object) -> Job:
        return Job(name, ["sh", "-c", command], tmp_path / f"{name}.log", **settings)  # type: ignore[arg-type]

    jobs = [
        job("first", "sleep 1"),
        job("late", "exit 1", latest_start=0.2),
        job("next", "exit 1", after=frozenset({"late"})),
        job("last", "true"),
    ]
    assert run_jobs(jobs, lanes=1) == {"first": Tally(1), "late": Tally(skipped=1), "next": Tally(skipped=1), "last": Tally(1)}
    assert "late: left out" in capsys.readouterr().out


def test_the_total_says_what_was_left_out() -> None:
    assert str(Tally(5) + Tally(2, 1) + Tally(skipped=1)) == "1 failed, 7 passed, 1 skipped"
    assert str(Tally(5)) == "5 passed"
