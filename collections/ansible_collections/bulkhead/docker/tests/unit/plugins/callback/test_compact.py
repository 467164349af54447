# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.callback.compact import TaskProgress


def test_a_task_prints_its_progress_at_intervals() -> None:
    task = TaskProgress(3, seconds=5, now=0)
    assert [task.count("ok", now) for now in (1, 6, 7)] == ["", "    2 of 3 hosts", ""]
    assert task.finish() == "    3 of 3 hosts"


def test_a_quick_task_without_changes_prints_nothing() -> None:
    task = TaskProgress(2, seconds=5, now=0)
    task.count("ok", 1)
    task.count("ok", 1)
    assert task.finish() == ""


def test_changes_and_failures_are_counted_and_printed_once() -> None:
    task = TaskProgress(3, seconds=0, now=0)
    assert task.count("changed", 1) == "    1 of 3 hosts, 1 changed"
    assert task.count("unreachable", 1) == "    2 of 3 hosts, 1 changed, 1 unreachable"
    assert task.finish() == ""
    quick = TaskProgress(1, seconds=5, now=0)
    assert quick.count("failed", 1) == ""
    assert quick.finish() == "    1 of 1 hosts, 1 failed"
