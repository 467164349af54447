# SPDX-License-Identifier: GPL-3.0-or-later
"""JUnit, SARIF and metrics; and data of reports stay inside their strings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import fleet, prometheus, publish, summary

from .samples import (
    DAY,
    HOSTILE,
    NOW,
    make_attack,
    make_container,
    make_finding,
    make_layer,
    make_unreachable,
    make_verification,
    write_reports,
)

Publish = Callable[..., tuple[Path, publish.Published]]


@pytest.fixture
def publish_reports(tmp_path: Path) -> Publish:
    """Write reports into a folder and publish them."""

    def publish_all(
        *reports: dict[str, Any], expected: tuple[str, ...] = (), run: str = "1", now: float = NOW
    ) -> tuple[Path, publish.Published]:
        inventory = fleet.Inventory({report["host"]: {"fleet"} for report in reports}, expected)
        return tmp_path, publish.publish_report(write_reports(tmp_path, *reports), inventory, now, 2 * DAY, run, "1.2.3")

    return publish_all


BAD = make_verification(
    "bad",
    make_layer("userns", "absent", findings=[make_finding("userns.off")]),
    make_layer("seccomp"),
    make_layer("rootless", "not_applicable", "disabled"),
)


def test_junit_has_a_suite_per_host_and_a_case_per_layer(publish_reports: Publish) -> None:
    folder, unused = publish_reports(
        make_verification("good"), BAD, make_unreachable("away"), make_verification("old", ago=9 * DAY), expected=("new",)
    )
    root = ElementTree.parse(folder / publish.JUNIT).getroot()
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"good", "bad", "away", "old", "new"}
    assert (root.get("failures"), root.get("errors")) == ("1", "3")
    cases = {case.get("name"): case for case in suites["bad"]}
    failure = cases["userns"].find("failure")
    assert failure is not None
    assert failure.get("message") == "absent: it is wrong"
    assert "/proc/1/userns: 0 231072 65536" in (failure.text or "")
    assert "CIS Docker Benchmark (1.8.0), 2.10" in (failure.text or "")
    assert cases["rootless"].find("skipped") is not None
    assert [child.tag for child in cases["seccomp"]] == ["system-out"]
    for name in ("away", "old", "new"):
        assert suites[name].find("testcase[@name='verification']/error") is not None
    # Old results are not successes.
    assert suites["old"].find("testcase[@name='userns']/skipped") is not None
    assert all(suite.get("tests") == str(len(suite)) for suite in root)


def test_sarif_has_a_result_per_problem(publish_reports: Publish) -> None:
    privileged = make_container("p", opted_out=["userns"], findings=[make_finding("container.privileged", status="degraded")])
    folder, unused = publish_reports(BAD, make_unreachable("away"), make_verification("c", containers=[privileged]))
    log = json.loads((folder / publish.SARIF).read_text())
    run = log["runs"][0]
    results = {(r["properties"]["host"], r["ruleId"]): r for r in run["results"]}
    assert log["version"] == "2.1.0"
    assert {key: results[key]["level"] for key in results} == {
        ("bad", "userns.off"): "error", ("away", "host.unreachable"): "error", ("c", "container.privileged"): "warning",
    }  # fmt: skip
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert set(rules) == {result["ruleId"] for result in run["results"]}
    taxa = {taxon["id"] for taxonomy in run["taxonomies"] for taxon in taxonomy["taxa"]}
    pointed = {relation["target"]["id"] for rule in rules.values() for relation in rule["relationships"]}
    assert pointed == taxa == {"CIS-2.10", "CIS-5.31", "CIS-5.5", "NIST-4.4.3"}
    assert results["bad", "userns.off"]["properties"]["evidence"] == [{"source": "/proc/1/userns", "value": [[0, 231072, 65536]]}]
    prints = [result["partialFingerprints"]["bulkhead/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints)


def test_metrics_cover_recent_results(publish_reports: Publish) -> None:
    without = make_container("p", opted_out=["userns"])
    folder, unused = publish_reports(
        make_verification("good", containers=[without, make_container()]),
        BAD,
        make_unreachable("away"),
        make_verification("old", ago=9 * DAY),
    )
    text = (folder / publish.METRICS).read_text()
    lines = set(text.splitlines())
    assert 'bulkhead_host_verified{host="good",condition="verified"} 1' in lines
    assert 'bulkhead_host_verified{host="away",condition="unreachable"} 0' in lines
    assert 'bulkhead_host_verified{host="old",condition="stale"} 0' in lines
    assert 'bulkhead_host_reachable{host="away"} 0' in lines
    assert 'bulkhead_layer_holds{host="bad",layer="userns",requirement="required",status="absent"} 0' in lines
    assert 'bulkhead_containers_opted_out{host="good",layer="userns"} 1' in lines
    assert 'bulkhead_containers_running{host="good"} 2' in lines
    assert 'bulkhead_hosts{condition="verified"} 1' in lines
    assert not [line for line in lines if "bulkhead_layer_holds" in line and 'host="old"' in line], (
        "old results are no statement about the present"
    )
    for name in prometheus.METRICS:
        assert text.count(f"# TYPE {name} gauge\n") <= 1


def test_an_unenforced_setting_of_a_container_is_an_error(publish_reports: Publish) -> None:
    settings = [
        {"setting": "memory", "status": "absent", "expected": 1, "seen": None, "source": "memory.max"},
        {"setting": "user", "status": "enforced", "expected": "1", "seen": "1", "source": "Uid"},
    ]
    # A note of any kind keeps a container in the report.
    folder, unused = publish_reports(
        make_verification("a", containers=[make_container("db", settings=settings, disagreements=["it differs"])])
    )
    results = json.loads((folder / publish.SARIF).read_text())["runs"][0]["results"]
    assert [(r["ruleId"], r["level"], r["message"]["text"]) for r in results] == [
        ("demand.memory", "error", "a: memory is nothing and not 1")
    ]


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, unused in attrs)


def make_hostile_reports() -> list[dict[str, Any]]:
    odd = make_finding(HOSTILE, HOSTILE, "degraded", HOSTILE)
    own = make_layer("seccomp", "absent", findings=[odd], evidence=[{"source": HOSTILE, "value": HOSTILE}], expected=HOSTILE)
    box = make_container(HOSTILE, image=HOSTILE, disagreements=[HOSTILE], findings=[odd], layers=[own], opted_out=["seccomp"])
    strange = make_attack(HOSTILE, {HOSTILE: {"none": "succeeded", "host": "blocked"}}, unmet=[HOSTILE])
    return [
        make_verification(HOSTILE, own, make_layer("userns"), make_layer(HOSTILE), containers=[box]),
        {**make_unreachable("away"), "error": HOSTILE},
        strange,
    ]


def test_hostile_data_stay_inside_their_strings(publish_reports: Publish) -> None:
    plain, unused = publish_reports(
        make_verification("a"), make_unreachable("away"), make_attack("a", {"x": {"none": "succeeded", "host": "blocked"}})
    )
    harmless = Tags()
    harmless.feed((plain / publish.PAGE).read_text())
    folder, done = publish_reports(*make_hostile_reports(), run="2")
    texts = {name: (folder / name).read_bytes().decode() for name in (publish.PAGE, publish.JUNIT, publish.SARIF, publish.METRICS)}

    page = Tags()
    page.feed(texts[publish.PAGE])
    assert "img" not in page.tags
    assert not {name for name in page.attributes if name.startswith("on")}
    assert page.tags == harmless.tags | {"article"}
    assert "{{ 7*7 }}" in texts[publish.PAGE]
    for block in re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', texts[publish.PAGE], re.DOTALL):
        json.loads(block)
    ElementTree.fromstring(texts[publish.JUNIT].encode())
    assert json.loads(texts[publish.SARIF])["runs"][0]["results"]
    for line in texts[publish.METRICS].splitlines():
        assert re.fullmatch(r'# .*|\w+(\{(\w+="([^"\\\n]|\\[\\"n])*",?)*\})? [0-9.e+-]+', line), line
    shown = "\n".join(text for text, unused in summary.render_summary(done))
    for text in (*texts.values(), shown):
        for character in ("\x1b", "\x00", "\u202e", "\ufffe"):
            assert character not in text
        assert "\\x1b" in text


def test_the_page_allows_only_its_own_script(publish_reports: Publish) -> None:
    folder, unused = publish_reports(make_verification("a"))
    page = (folder / publish.PAGE).read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].replace("&#39;", "'").startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r'(src|href)="(?!#)', page), "the page needs no second file"


def test_changes_are_reported_and_a_broken_state_is_a_problem(publish_reports: Publish) -> None:
    publish_reports(make_verification("a"))
    folder, done = publish_reports(make_verification("a", make_layer("userns", "absent"), ago=0), run="2", now=NOW + 60)
    assert [(c.what, c.before, c.after) for c in done.changes if c.better is False][:1] == [("host", "verified", "failing")]
    assert done.since
    (folder / publish.STATE).write_text("{")
    unused, done = publish_reports(make_verification("a"), run="3")
    assert done.changes == []
    assert "fleet.json cannot be read" in done.fleet.problems[0]


def test_the_summary_names_hosts_that_are_not_verified(publish_reports: Publish) -> None:
    unused, done = publish_reports(make_verification("good"), BAD, make_unreachable("away"))
    text = "\n".join(line for line, unused in summary.render_summary(done))
    assert text.startswith("Fleet: 1 of 3 hosts verified\n")
    assert "bad: required and not enforced: userns (absent)" in text
    assert "no route" in text


def test_the_summary_of_many_hosts_is_short(publish_reports: Publish) -> None:
    unused, done = publish_reports(*({**BAD, "host": f"bad{number:03}"} for number in range(60)))
    lines = [line for line, unused in summary.render_summary(done)]
    assert len(lines) < 12
    assert "and 40 more" in "\n".join(lines)
    assert "  Why: userns.off (60)" in lines
