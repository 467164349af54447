# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from bench_fleet import Cost, growth, memory, ours, parents, slope


def costs(*pairs: tuple[int, float]) -> list[Cost]:
    return [Cost(hosts, 0.0, processor, 0.0) for hosts, processor in pairs]


def test_what_a_run_costs_at_all_is_no_cost_of_a_host() -> None:
    assert slope(*costs((10, 7.0), (100, 52.0))) == pytest.approx(0.5)


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
    change = growth(costs(*pairs))
    assert change is None if expected is None else change == pytest.approx(expected)


def test_a_run_is_told_from_what_was_there_before() -> None:
    before = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    spared = set(parents()) - {os.getpid()}
    after = subprocess.Popen(["sh", "-c", f"{sys.executable} -c 'input()'; true"], stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 10
        while (len(found := ours(spared)) < 2 or memory(found) < 1) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert after.pid in found and before.pid not in found
        assert len(found) == 2, "its children too"
        assert 1 < memory(found) < 200
    finally:
        for process in (before, after):
            process.communicate(b"\n")
