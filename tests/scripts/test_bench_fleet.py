# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from bench_fleet import Cost, compute_growth, compute_slope, list_own_processes, list_parents, measure_memory


def costs(*pairs: tuple[int, float]) -> list[Cost]:
    return [Cost(hosts, 0.0, processor, 0.0) for hosts, processor in pairs]


def test_the_cost_of_every_run_is_not_a_cost_of_a_host() -> None:
    assert compute_slope(*costs((10, 7.0), (100, 52.0))) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(10, 7.0), (100, 52.0), (500, 252.0)], 0.0),
        ([(10, 7.0), (100, 52.0), (500, 352.0)], 50.0),
        ([(10, 7.0), (100, 52.0), (500, 212.0)], -20.0),
        ([(10, 7.0), (100, 52.0)], None),
    ],
)
def test_growth(pairs: list[tuple[int, float]], expected: float | None) -> None:
    change = compute_growth(costs(*pairs))
    assert change is None if expected is None else change == pytest.approx(expected)


def test_processes_from_before_the_run_are_not_counted() -> None:
    before = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    excluded = set(list_parents()) - {os.getpid()}
    after = subprocess.Popen(["sh", "-c", f"{sys.executable} -c 'input()'; true"], stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 10
        while (len(found := list_own_processes(excluded)) < 2 or measure_memory(found) < 1) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert after.pid in found and before.pid not in found
        assert len(found) == 2, "its children too"
        assert 1 < measure_memory(found) < 200
    finally:
        for process in (before, after):
            process.communicate(b"\n")
