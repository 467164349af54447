# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written of a run for the page of the fleet is what the page reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording import outcome
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.overview import summarize
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.settings import read_settings
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import recordings

from .recorded_hosts import DAY, START, make_call, make_gap, make_instance, make_recorded


@pytest.mark.parametrize("gap", [True, False])
def test_the_page_reads_what_a_run_writes(tmp_path: Path, gap: bool) -> None:
    denied = {"name": "bpf", "abi": "x86_64", "errno": 1, "count": 5, "first": START, "last": START}
    recorded = make_recorded(make_instance(calls=[make_call("read"), make_call("openat")], denied_calls=[denied]))
    recorded["gaps"] = [make_gap("lost_calls", 0, 1)] if gap else []
    built, problems = outcome.build_outcomes(
        {"web1": recorded}, {}, read_settings({"web1": {}}), outcome.Inventory({}, [], "/x"), START + DAY
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
