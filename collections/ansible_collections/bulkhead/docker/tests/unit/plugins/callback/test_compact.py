# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.callback.compact import Progress


def test_a_task_says_how_far_it_has_come_now_and_then() -> None:
    task = Progress(3, seconds=5, now=0)
    assert [task.count("ok", now) for now in (1, 6, 7)] == ["", "    2 of 3 hosts", ""]
    assert task.end() == "    3 of 3 hosts"


def test_a_quick_task_on_which_nothing_happened_says_nothing() -> None:
    task = Progress(2, seconds=5, now=0)
    task.count("ok", 1)
    task.count("ok", 1)
    assert task.end() == ""


def test_what_was_changed_or_went_wrong_is_counted_and_said_once() -> None:
    task = Progress(3, seconds=0, now=0)
    assert task.count("changed", 1) == "    1 of 3 hosts, 1 changed"
    assert task.count("unreachable", 1) == "    2 of 3 hosts, 1 changed, 1 unreachable"
    assert task.end() == ""
    quick = Progress(1, seconds=5, now=0)
    assert quick.count("failed", 1) == ""
    assert quick.end() == "    1 of 1 hosts, 1 failed"
