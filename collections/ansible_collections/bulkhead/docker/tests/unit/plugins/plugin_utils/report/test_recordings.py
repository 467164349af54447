# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of recordings: what is read of it, on the page and in the metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import publish, recordings

from .samples import DAY, HOSTILE, NOW, make_recorded_service, write_recordings


def publish_services(folder: Path, *services: dict[str, Any]) -> tuple[publish.Published, str, str]:
    done = publish.publish_report(write_recordings(folder, *services), None, NOW, DAY, "1", "0")
    return done, (folder / publish.PAGE).read_text(), (folder / publish.METRICS).read_text()


def test_without_a_file_there_is_neither_service_nor_problem(tmp_path: Path) -> None:
    assert recordings.read_recordings(tmp_path) == ([], [])
    done = publish.publish_report(tmp_path, None, NOW, DAY, "1", "0")
    assert not done.fleet.problems
    assert "No service was recorded" in (tmp_path / publish.PAGE).read_text()
    assert "bulkhead_recording" not in (tmp_path / publish.METRICS).read_text()


def test_the_page_shows_gate_coverage_calls_and_vulnerabilities(tmp_path: Path) -> None:
    done, page, unused = publish_services(tmp_path, make_recorded_service("shop-web"))
    assert not done.fleet.problems
    for text in (
        "shop-web", "! not passed", "3 more days", "containers 2, starts 3, stops 2, restarts 1, execs 4, health checks 9", "98 of 350",
        "<details><summary>1</summary>", 'href="https://example.com/cve"', "CVE-2022-0185", "bpf <small>5 times, EPERM</small>",
        "web1: the recorder was not armed", "web2: calls are not recorded", "Recordings (1)",
    ):  # fmt: skip
        assert text in page


def test_a_service_without_a_profile_is_shown(tmp_path: Path) -> None:
    page = publish_services(
        tmp_path, make_recorded_service(reduction=None, denied_calls={}, gaps=[], not_recorded=[], passed=True, missing=[])
    )[1]
    assert "+ passed" in page
    assert "98 of 350" not in page


def test_metrics_count_gaps_and_denied_calls_without_enosys(tmp_path: Path) -> None:
    metrics = publish_services(tmp_path, make_recorded_service("a"), make_recorded_service("b", stage="record", passed=True))[2]
    assert 'bulkhead_recording_gate_passed{service="a",stage="enforce"} 0' in metrics
    assert 'bulkhead_recording_gate_passed{service="b",stage="record"} 1' in metrics
    assert 'bulkhead_recording_gaps{service="a",stage="enforce"} 2' in metrics
    assert 'bulkhead_recording_denied_calls{service="a",stage="enforce"} 5' in metrics


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stage": None}, "a service has no text stage"),
        ({"hosts": "web1"}, "hosts of service web is not a list of texts"),
        ({"instances": "2"}, "service web has no number instances"),
        ({"passed": 1}, "service web has no boolean passed"),
        ({"events": {}}, "service web has no number starts"),
        ({"gaps": [{}]}, "a gap of service web has no host"),
        ({"denied_calls": {"bpf": 5}}, "bpf of service web is not a mapping"),
        ({"denied_calls": {"bpf": {"count": 5}}}, "errnos of service web is not a list"),
        ({"reduction": {}}, "service web has no number allowed"),
        ({"reduction": {"allowed": 1, "default_allowed": 2, "already": 0, "stopped": [{}]}}, "has no cve"),
        (
            {
                "reduction": {
                    "allowed": 1,
                    "default_allowed": 2,
                    "already": 0,
                    "stopped": [{"cve": "C", "title": "", "url": "javascript:alert(1)", "lacks": ""}],
                }
            },
            "does not begin with https://",
        ),
    ],
)
def test_a_broken_summary_is_a_problem(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    done, page, unused = publish_services(tmp_path, {**make_recorded_service("web"), **change})
    assert not done.fleet.recordings
    assert len(done.fleet.problems) == 1
    assert words in done.fleet.problems[0]
    assert "is not a summary of recordings" in page


@pytest.mark.parametrize("content", ["{", "[]", '{"services": {}}'])
def test_a_file_of_another_kind_is_a_problem(tmp_path: Path, content: str) -> None:
    (tmp_path / recordings.REPORT).write_text(content)
    assert [len(part) for part in recordings.read_recordings(tmp_path)] == [0, 1]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    hostile = json.loads(json.dumps(make_recorded_service()).replace('"web"', json.dumps(HOSTILE)).replace('"bpf"', json.dumps(HOSTILE)))
    for key in ("hosts", "missing", "not_recorded"):
        hostile[key] = [HOSTILE]
    done, page, unused = publish_services(tmp_path, {**hostile, "estimate": HOSTILE, "failure": HOSTILE})
    assert len(done.fleet.recordings) == 1
    assert "<img" not in page
    assert "\x1b" not in page
