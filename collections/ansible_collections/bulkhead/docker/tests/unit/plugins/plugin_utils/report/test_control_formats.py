# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls in JUnit, SARIF, metrics, the page and the report of one host."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import publish, single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.policy import judge_policy, load_policy
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.read import read_reports
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.verification_table import render_verification

from .samples import DAY, NOW, make_control, make_policy, make_verification, make_waiver, write_reports

CONTROLS = [make_control(), make_control("CIS-2.6", "pass", "overlay2"), make_control("CIS-4.2", "manual", "a decision")]


def publish_one(folder: Path, *waivers: dict[str, str], required: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the texts of the fleet report of one host, by their file names."""
    write_reports(folder, make_verification("a", controls=CONTROLS, policy=make_policy(*waivers, required=required)))
    publish.publish_report(folder, None, NOW, 2 * DAY, "1", "1.2.3")
    names = (publish.JUNIT, publish.SARIF, publish.METRICS, publish.PAGE)
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}


def find_outcomes(texts: dict[str, str]) -> dict[str, str]:
    """Return the outcome of the case of each control; `good` without one."""
    cases = ElementTree.fromstring(texts[publish.JUNIT]).iter("testcase")
    return {case.get("name", ""): next((child.tag for child in case), "good") for case in cases if case.get("name", "").startswith("CIS-")}


@pytest.mark.parametrize(
    ("waivers", "required", "outcome", "level"),
    [
        ((), (), "skipped", "note"),
        ((), ("CIS-2.14",), "failure", "error"),
        ((make_waiver("CIS-2.14"),), ("CIS-2.14",), "skipped", "note"),
        ((make_waiver("CIS-2.14", until="2000-01-01"),), ("CIS-2.14",), "failure", "error"),
    ],
)
def test_required_controls_fail(
    tmp_path: Path, waivers: tuple[dict[str, str], ...], required: tuple[str, ...], outcome: str, level: str
) -> None:
    texts = publish_one(tmp_path, *waivers, required=required)
    assert find_outcomes(texts) == {"CIS-2.14": outcome, "CIS-2.6": "good", "CIS-4.2": "skipped"}
    (result,) = [entry for entry in json.loads(texts[publish.SARIF])["runs"][0]["results"] if entry["ruleId"] == "control.CIS-2.14"]
    assert result["level"] == level
    unmet = 1 if outcome == "failure" else 0
    assert f'bulkhead_controls_unmet{{host="a"}} {unmet}\n' in texts[publish.METRICS]


def test_metrics_count_controls(tmp_path: Path) -> None:
    text = publish_one(tmp_path)[publish.METRICS]
    assert 'bulkhead_controls{host="a",section="2",level="2",status="fail"} 1\n' in text
    assert 'bulkhead_controls{host="a",section="4",level="2",status="manual"} 1\n' in text


def test_the_page_has_a_row_per_control(tmp_path: Path) -> None:
    text = publish_one(tmp_path, required=("CIS-2.14",))[publish.PAGE]
    assert '<tr data-section="2" data-level="2" data-status="fail">' in text
    assert "x fail, required" in text
    assert "3 of 3 controls shown." in text


def test_the_report_of_a_host_names_unmet_controls() -> None:
    policy = load_policy(make_policy(required=["CIS-2.14"]))
    report = single.build_report(
        "a", make_verification("a", controls=CONTROLS)["verification"], False, policy=policy, today=date(2026, 1, 1)
    )
    assert report["unmet_controls"] == ["CIS-2.14 (fail)"]
    assert report["problem"] == ""
    assert "required controls that do not pass on a: CIS-2.14 (fail)" in single.describe_exposed("a", report)


def test_the_terminal_shows_numbers_and_unmet_controls() -> None:
    policy = load_policy(make_policy(required=["CIS-2.14"]))
    verification = make_verification("a", controls=CONTROLS)["verification"]
    text = "\n".join(
        line for line, unused in render_verification("a", verification, judge_policy("a", verification, policy, date(2026, 1, 1)))
    )
    assert "controls of the CIS Docker Benchmark: 1 pass, 1 fail, 1 manual" in text
    assert "x CIS-2.14, required, is fail" in text


@pytest.mark.parametrize("wrong", [{"title": 1}, {"level": "1"}, {"evidence": [{}]}, {"findings": [{"container": 1, "finding": ""}]}])
def test_a_damaged_control_makes_no_report(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_reports(tmp_path, make_verification("a", controls=[make_control(**wrong)]))
    found = read_reports(tmp_path)
    assert found.verify == {}
    assert len(found.problems) == 1
