# SPDX-License-Identifier: GPL-3.0-or-later
"""What the terminal and the page show of services: the page reads what a run writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording import outcome
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.overview import render_services, summarize
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.settings import read_recording_settings
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import recordings

from .recorded_hosts import DAY, START, make_call, make_gap, make_instance, make_recorded
from .test_outcome import build, build_enforced, record


@pytest.mark.parametrize("gap", [True, False])
def test_the_page_reads_what_a_run_writes(tmp_path: Path, gap: bool) -> None:
    denied = {"name": "bpf", "abi": "x86_64", "errno": 1, "count": 5, "first": START, "last": START}
    recorded = make_recorded(make_instance(calls=[make_call("read"), make_call("openat")], denied_calls=[denied]))
    recorded["gaps"] = [make_gap("lost_calls", 0, 1)] if gap else []
    built, problems = outcome.build_outcomes(
        {"web1": recorded}, {}, {}, read_recording_settings({"web1": {}}), outcome.InventoryProfiles({}, [], "/x"), START + DAY
    )
    assert not problems
    write_report(tmp_path / recordings.REPORT, {"services": [summarize(each) for each in built], "problems": problems})
    services, unread = recordings.read_recordings(tmp_path)
    assert not unread
    assert [(each["service"], each["hosts"], each["calls"]) for each in services] == [("web", ["web1"], 2)]
    assert services[0]["denied_calls"] == {"bpf": {"count": 5, "errnos": ["EPERM"]}}
    assert recordings.count_denied_calls(services[0]) == 5
    assert len(services[0]["gaps"]) == gap
    assert services[0]["reduction"] and services[0]["reduction"]["stopped"]


def render(outcome: object, show_all: bool = True) -> str:
    return "\n".join(text for text, unused in render_services([outcome], {}, show_all))  # type: ignore[list-item]


def test_a_host_without_btf_is_named() -> None:
    recorded = make_recorded(make_instance(calls=[]))
    recorded["sources"]["calls"] = {"status": "unavailable", "reason": "the kernel has no BTF"}
    outcome = build({"web1": recorded})[0]["web"]
    assert "web1: calls are not recorded (the kernel has no BTF)" in render(outcome)
    assert summarize(outcome)["reduction"] is None


def test_a_failure_is_shown_without_details() -> None:
    outcome = build(stage="enforce")[0]["web"]
    assert "stage enforce needs a passed gate" in " ".join(render(outcome, False).split())
    assert summarize(outcome)["failure"] == outcome.failure


def test_a_warning_is_shown_and_on_the_page() -> None:
    outcome = build(stage="enforce", generated=build_enforced())[0]["web"]
    assert "its profiles stay enforced" in " ".join(render(outcome, False).split())
    assert summarize(outcome)["notes"][0] == outcome.warning


def test_changes_are_shown_with_reasons() -> None:
    text = render(build({"web1": record()}, "log")[0]["web"])
    assert "web.generated.yml:" in text and "+ stage: log" in text


def test_the_reason_is_on_the_page() -> None:
    assert summarize(build(stage="enforce", reason="tested")[0]["web"])["reason"] == "tested"
