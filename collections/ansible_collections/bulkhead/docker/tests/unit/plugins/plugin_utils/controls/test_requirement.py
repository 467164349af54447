# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.requirement import resolve_required
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.policy import Judgement, judge_policy, resolve_policy

UNTIL = "2099-01-01"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], 0),
        (["CIS-2.10"], 1),
        (["2.10", "CIS-2.10"], 1),
        ([7], 9),
        (["6", "7"], 11),
        (["level2"], 118),
    ],
)
def test_entries_select_controls(value: list[Any], expected: int) -> None:
    selected, problems = resolve_required(value)
    assert len(selected) == expected
    assert problems == []


def test_level_1_is_a_part_of_level_2() -> None:
    assert set(resolve_required(["level1"])[0]) < set(resolve_required(["level2"])[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("level1", "bulkhead_controls_required: 'level1' is not a list; write a list"),
        ([2.1], "bulkhead_controls_required[0]: 2.1 is a number, and YAML reads 2.10 as 2.1; put it in quotes: '2.1'"),
        (["CIS-9.9"], "bulkhead_controls_required[0]: 'CIS-9.9' is not a control; write a number such as CIS-2.8"),
        ([True], "bulkhead_controls_required[0]: True is not a control"),
    ],
)
def test_a_wrong_entry_is_one_message(value: Any, text: str) -> None:
    selected, (problem,) = resolve_required(value)
    assert selected == []
    assert problem.startswith(text)


def build_control(status: str, *findings: tuple[str, str]) -> dict[str, Any]:
    found = [{"container": container, "finding": finding} for container, finding in findings]
    return {"control": "CIS-5.15", "level": 1, "title": "", "status": status, "reason": "", "remedy": "", "evidence": [], "findings": found}


def judge(control: dict[str, Any], waivers: list[dict[str, str]]) -> Judgement:
    policy, problems = resolve_policy(None, [{"reason": "known", "until": UNTIL, **waiver} for waiver in waivers], required=["5"])
    assert problems == []
    return judge_policy("web1", {"layers": [], "containers": [], "controls": [control]}, policy, date(2026, 1, 1))


@pytest.mark.parametrize(
    ("waivers", "status"),
    [
        ([], "fail"),
        ([{"finding": "CIS-5.15"}], "waived"),
        ([{"finding": "CIS-5.15", "container": "a"}], "fail"),
        ([{"finding": "CIS-5.15", "container": "?"}], "waived"),
        ([{"finding": "CIS-5.15", "host": "db*"}], "fail"),
        ([{"finding": "CIS-5.16"}], "fail"),
    ],
)
def test_a_control_is_waived_when_all_that_fails_is(waivers: list[dict[str, str]], status: str) -> None:
    judgement = judge(build_control("fail", ("a", ""), ("b", "")), waivers)
    assert judgement.controls[0]["status"] == status
    assert judgement.unmet_controls == (["CIS-5.15 (fail)"] if status == "fail" else [])


def test_unknown_is_unmet_and_is_not_waived() -> None:
    judgement = judge(build_control("unknown"), [{"finding": "CIS-5.15"}])
    assert judgement.unmet_controls == ["CIS-5.15 (unknown)"]
