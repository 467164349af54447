# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines read: JUnit, SARIF, metrics; and that nothing in a report gets out of the string that it is in."""

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

from .samples import DAY, HOSTILE, NOW, attack, container, finding, lay, layer, unreachable, verify

Make = Callable[..., tuple[Path, publish.Published]]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Lay reports into a folder and publish them."""

    def make(*reports: dict[str, Any], expected: tuple[str, ...] = (), run: str = "1", now: float = NOW) -> tuple[Path, publish.Published]:
        inventory = fleet.Inventory({report["host"]: {"fleet"} for report in reports}, expected)
        return tmp_path, publish.publish(lay(tmp_path, *reports), inventory, now, 2 * DAY, run, "1.2.3")

    return make


BAD = verify(
    "bad", layer("userns", "absent", findings=[finding("userns.off")]), layer("seccomp"), layer("rootless", "not_applicable", "disabled")
)


def test_junit(made: Make) -> None:
    folder, unused = made(verify("good"), BAD, unreachable("away"), verify("old", ago=9 * DAY), expected=("new",))
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
    # What held once is no success today.
    assert suites["old"].find("testcase[@name='userns']/skipped") is not None
    assert all(suite.get("tests") == str(len(suite)) for suite in root)


def test_sarif(made: Make) -> None:
    privileged = container("p", opted_out=["userns"], findings=[finding("container.privileged", status="degraded")])
    folder, unused = made(BAD, unreachable("away"), verify("c", containers=[privileged]))
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


def test_metrics(made: Make) -> None:
    without = container("p", opted_out=["userns"])
    folder, unused = made(verify("good", containers=[without, container()]), BAD, unreachable("away"), verify("old", ago=9 * DAY))
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
    assert not [line for line in lines if "bulkhead_layer_holds" in line and 'host="old"' in line], "what held once is not what holds"
    for name in prometheus.METRICS:
        assert text.count(f"# TYPE {name} gauge\n") <= 1


def test_what_the_inventory_demands_of_a_container_is_an_error_where_it_does_not_hold(made: Make) -> None:
    settings = [
        {"setting": "memory", "status": "absent", "expected": 1, "seen": None, "source": "memory.max"},
        {"setting": "user", "status": "enforced", "expected": "1", "seen": "1", "source": "Uid"},
    ]
    # A note of any kind keeps a container in the report.
    folder, unused = made(verify("a", containers=[container("db", settings=settings, disagreements=["it differs"])]))
    results = json.loads((folder / publish.SARIF).read_text())["runs"][0]["results"]
    assert [(r["ruleId"], r["level"], r["message"]["text"]) for r in results] == [
        ("demand.memory", "error", "a: memory is nothing and not 1")
    ]


class Tags(HTMLParser):
    """Which tags and attributes a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, unused in attrs)


def hostile() -> list[dict[str, Any]]:
    odd = finding(HOSTILE, HOSTILE, "degraded", HOSTILE)
    own = layer("seccomp", "absent", findings=[odd], evidence=[{"source": HOSTILE, "value": HOSTILE}], expected=HOSTILE)
    box = container(HOSTILE, image=HOSTILE, disagreements=[HOSTILE], findings=[odd], layers=[own], opted_out=["seccomp"])
    strange = attack(HOSTILE, {HOSTILE: {"none": "succeeded", "host": "blocked"}}, unmet=[HOSTILE])
    return [
        verify(HOSTILE, own, layer("userns"), layer(HOSTILE), containers=[box]),
        {**unreachable("away"), "error": HOSTILE},
        strange,
    ]


def test_nothing_hostile_gets_out_of_its_string(made: Make) -> None:
    plain, unused = made(verify("a"), unreachable("away"), attack("a", {"x": {"none": "succeeded", "host": "blocked"}}))
    harmless = Tags()
    harmless.feed((plain / publish.PAGE).read_text())
    folder, done = made(*hostile(), run="2")
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
    shown = "\n".join(text for text, unused in summary.lines(done))
    for text in (*texts.values(), shown):
        for character in ("\x1b", "\x00", "\u202e", "\ufffe"):
            assert character not in text
        assert "\\x1b" in text


def test_the_page_allows_its_own_script_and_nothing_else(made: Make) -> None:
    folder, unused = made(verify("a"))
    page = (folder / publish.PAGE).read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].replace("&#39;", "'").startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r'(src|href)="(?!#)', page), "a second file is needed"


def test_a_report_says_what_changed_and_survives_a_broken_state(made: Make) -> None:
    made(verify("a"))
    folder, done = made(verify("a", layer("userns", "absent"), ago=0), run="2", now=NOW + 60)
    assert [(c.what, c.before, c.after) for c in done.changes if c.better is False][:1] == [("host", "verified", "failing")]
    assert done.since
    (folder / publish.STATE).write_text("{")
    unused, done = made(verify("a"), run="3")
    assert done.changes == []
    assert "fleet.json can't be read" in done.fleet.problems[0]


def test_the_summary_names_whoever_is_not_verified(made: Make) -> None:
    unused, done = made(verify("good"), BAD, unreachable("away"))
    text = "\n".join(line for line, unused in summary.lines(done))
    assert text.startswith("Fleet: 1 of 3 hosts verified\n")
    assert "bad: required and not enforced: userns (absent)" in text
    assert "no route" in text


def test_many_hosts_are_a_list_of_names_and_of_reasons(made: Make) -> None:
    unused, done = made(*({**BAD, "host": f"bad{number:03}"} for number in range(60)))
    lines = [line for line, unused in summary.lines(done)]
    assert len(lines) < 12
    assert "and 40 more" in "\n".join(lines)
    assert "  Why: userns.off (60)" in lines
