# SPDX-License-Identifier: GPL-3.0-or-later
"""Denials and log gaps of a fleet on the page, in the metrics and on the terminal; drift as a finding and a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import denials, fleet, prometheus, publish, read, summary

from .samples import DAY, HOSTILE, NOW, make_denial, make_denials, make_unreachable, make_verification, write_reports


def judged(folder: Path, *reports: dict[str, Any]) -> fleet.Fleet:
    inventory = fleet.InventoryHosts({report["host"]: {"fleet"} for report in reports}, ())
    return fleet.judge_fleet(read.read_reports(write_reports(folder, *reports)), inventory, NOW, 2 * DAY)


def test_rows_gaps_and_hosts_of_which_nothing_is_known(tmp_path: Path) -> None:
    loud = make_denials(
        "web1", make_denial(count=1), make_denial(None, "unknown", candidates=["a", "b"], count=9), gaps=[("serials", "7 are in no log")]
    )
    lost = {**make_denials("web2"), "denials_info": {}, "error": "no route"}
    found = denials.collect_denials(
        judged(tmp_path, loud, make_denials("web3", ago=9 * DAY), lost, make_denials("web4"), make_verification("web5"))
    )
    assert [(row["who"], row["known"], row["count"]) for row in found["rows"]] == [
        ("unknown", "one of a, b", 9),
        ("web", "the process runs there", 1),
    ]
    assert [(gap["host"], gap["text"]) for gap in found["gaps"]] == [("web1", "7 are in no log")]
    assert {host["host"]: host["why"] for host in found["silent"]} == {"web2": "no route", "web3": "last collected 9 days ago"}
    assert found["hosts"] == 2


def test_the_page_is_bounded_and_what_was_only_logged_comes_last(tmp_path: Path) -> None:
    many = [make_denial(detail=f"name={n}", denied=n % 2 == 0) for n in range(denials.MAX_ROWS + 20)]
    found = denials.collect_denials(judged(tmp_path, make_denials("web1", *many)))
    assert (len(found["rows"]), found["more"]) == (denials.MAX_ROWS, 20)
    assert found["rows"][0]["denied"] and not found["rows"][-1]["denied"]


def test_metrics_count_denials_and_gaps_of_fresh_reports_only(tmp_path: Path) -> None:
    denied = [
        make_denial(count=2),
        make_denial(detail="x", count=3),
        make_denial(count=5, denied=False),
        make_denial(None, "unknown", count=4),
    ]
    text = prometheus.render(
        judged(tmp_path, make_denials("a", *denied, gaps=[("lost", "some")]), make_denials("old", make_denial(), ago=9 * DAY))
    )
    assert 'bulkhead_denials{host="a",layer="apparmor",scope="container",container="web"} 5' in text
    assert 'bulkhead_denials{host="a",layer="apparmor",scope="unknown",container=""} 4' in text
    assert 'bulkhead_denials_gaps{host="a"} 1' in text
    assert 'host="old",layer' not in text


def test_drift_is_a_warning_and_a_metric(tmp_path: Path) -> None:
    drifted = make_verification("a", drift=[{"layer": "seccomp", "summary": "write /etc/docker/seccomp/x.json"}])
    fresh = judged(tmp_path, drifted, make_verification("b", drift=[]), make_verification("c"), {**make_unreachable("d"), "drift": None})
    text = prometheus.render(fresh)
    assert 'bulkhead_drift_changes{host="a",layer="seccomp"} 1' in text
    assert 'bulkhead_drift_changes{host="b",layer="seccomp"} 0' in text
    assert 'bulkhead_drift_changes{host="c"' not in text, "nobody looked"
    from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.findings import list_problems

    assert [(p.level, p.id, p.host) for p in list_problems(fresh) if p.id.startswith("drift")] == [("warning", "drift.seccomp", "a")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"denials_info": []}, "no mapping denials_info"),
        ({"denials_info": {"since": 1}}, "has no total"),
        ({"denials_info": {"since": 1, "total": 0, "denials": [{}], "gaps": []}}, "a denial has no layer"),
        ({"denials_info": {"since": 1, "total": 0, "denials": [{**make_denial(), "count": "3"}], "gaps": []}}, "a denial has no count"),
        (
            {"denials_info": {"since": 1, "total": 0, "denials": [{**make_denial(), "container": "web"}], "gaps": []}},
            "no candidates, no container",
        ),
        ({"denials_info": {"since": 1, "total": 0, "denials": [{**make_denial(), "denied": "no"}], "gaps": []}}, "no boolean denied"),
        ({"denials_info": {"since": 1, "total": 0, "denials": [], "gaps": [{"kind": "x", "text": "y", "from": "z"}]}}, "has no time"),
    ],
)
def test_files_that_are_no_reports(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    found = read.read_reports(write_reports(tmp_path, {**make_denials("a"), **change}))
    assert not found.denials
    assert words in found.problems[0]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    published = publish.publish_report(
        write_reports(tmp_path, make_denials("a", make_denial(HOSTILE, comm=HOSTILE, detail=HOSTILE))), None, NOW, DAY, "1", "0"
    )
    assert "<img" not in (tmp_path / publish.PAGE).read_text()
    assert summary.render_summary(published)


def test_lines_for_the_terminal() -> None:
    shown = [
        text
        for text, unused in denials.render_denials(
            "web1", make_denials("web1", make_denial(), gaps=[("serials", "7 are in no log")])["denials_info"]
        )
    ]
    assert "3 denials since" in shown[0]
    assert "web: apparmor open name=/proc/kcore" in shown[1]
    assert shown[-1] == "  ? serials: 7 are in no log"


def test_a_call_that_the_recorder_counted_is_shown(tmp_path: Path) -> None:
    entry = make_denial(layer="seccomp", operation="bpf", detail="errno=EPERM (recorder)", by="recorder", comm="unknown", pids=[])
    report = make_denials("web1", entry)
    lines = [text for text, unused in denials.render_denials("web1", report["denials_info"])]
    assert "web: seccomp bpf errno=EPERM (recorder) by unknown (the recorder counted it there)" in " ".join(" ".join(lines).split())
    assert 'bulkhead_denials{host="web1",layer="seccomp",scope="container",container="web"} 3' in prometheus.render(
        judged(tmp_path, report)
    )
