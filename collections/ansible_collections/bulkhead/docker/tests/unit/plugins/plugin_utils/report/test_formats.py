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
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import FORBIDDEN
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import fleet, prometheus, publish, summary

from .samples import (
    DAY,
    HOSTILE,
    NOW,
    make_attack,
    make_container,
    make_exposed,
    make_finding,
    make_layer,
    make_policy,
    make_unreachable,
    make_verification,
    make_waiver,
    write_reports,
)

Publish = Callable[..., tuple[Path, publish.Published]]


@pytest.fixture
def publish_reports(tmp_path: Path) -> Publish:
    """Write reports into a folder and publish them."""

    def publish_all(
        *reports: dict[str, Any], expected: tuple[str, ...] = (), run: str = "1", now: float = NOW
    ) -> tuple[Path, publish.Published]:
        inventory = fleet.InventoryHosts({report["host"]: {"fleet"} for report in reports}, expected)
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
        ("bad", "userns.off"): "error", ("away", "host.unreachable"): "error", ("c", "container.privileged"): "error",
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
        assert text.count(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}\n") <= 1


def test_reached_limits_are_notes_in_every_format(publish_reports: Publish) -> None:
    text = "container db reached its PIDs limit of 512 61 times (pids.events): new processes or threads failed"
    noted = make_container(
        "db",
        usage={
            "pids": {"source": "/sys/fs/cgroup/a", "limit_hits": 61},
            "memory": {"source": "/sys/fs/cgroup/a/memory.events", "oom_kills": 2},
        },
        findings=[make_finding("container.pids_limit_reached", text, None, "docker update --pids-limit N db")],
    )
    quiet = make_container("web", usage={"pids": {"source": "/sys/fs/cgroup/b", "limit_hits": 0}})
    engines = [
        {"kind": "rootful", "user": "root", "pid": 1, "judged": True},
        {"kind": "rootless", "user": "ann", "pid": 2, "judged": False, "layers": [], "containers": [noted]},
    ]
    report = make_verification("a", containers=[noted, quiet])
    report["verification"]["engines"] = engines
    folder, published = publish_reports(report, make_verification("old", ago=9 * DAY, containers=[noted]))
    assert published.fleet.count("verified") == 1
    lines = (folder / publish.METRICS).read_text().splitlines()
    assert [line for line in lines if line.startswith("bulkhead_container_")] == [
        'bulkhead_container_pids_limit_hits_total{host="a",engine="root",container="db"} 61',
        'bulkhead_container_pids_limit_hits_total{host="a",engine="root",container="web"} 0',
        'bulkhead_container_pids_limit_hits_total{host="a",engine="ann",container="db"} 61',
        'bulkhead_container_oom_kills_total{host="a",engine="root",container="db"} 2',
        'bulkhead_container_oom_kills_total{host="a",engine="ann",container="db"} 2',
    ]
    assert "# TYPE bulkhead_container_pids_limit_hits_total counter" in lines
    results = json.loads((folder / publish.SARIF).read_text())["runs"][0]["results"]
    noted_results = [r for r in results if r["ruleId"] == "container.pids_limit_reached" and r["properties"]["host"] == "a"]
    assert [(r["level"], r["message"]["text"]) for r in noted_results] == [("note", f"a: {text}")]
    suites = {suite.get("name"): suite for suite in ElementTree.parse(folder / publish.JUNIT).getroot()}
    case = suites["a"].find("testcase[@name='container.pids_limit_reached']")
    assert case is not None and [(child.tag, child.text) for child in case] == [("system-out", text)]
    assert (suites["a"].get("failures"), suites["a"].get("errors")) == ("0", "0")
    assert text in (folder / publish.PAGE).read_text()
    shown = " ".join(line.strip() for line, unused in summary.render_summary(published))
    assert f"i a: db: {text}" in shown


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


WAIVED = make_waiver(container="portainer", reason="it manages the host")
OLD = make_waiver("container.host_pid", "2020-01-01")
NEVER = make_waiver("userns.overlap")
# One host with an exposed, a waived and an allowed container, and a waived layer.
MIXED = make_verification(
    "mixed",
    make_layer("userns", "degraded", findings=[make_finding("userns.off", status="degraded")]),
    make_layer("seccomp"),
    containers=[make_exposed("web", "host_pid", "host_network"), make_exposed("portainer"), make_exposed("agent", "block_device")],
    policy=make_policy(WAIVED, OLD, NEVER, make_waiver("userns.off"), allow={"agent": ["block_device"]}),
)


def test_junit_fails_for_exposed_and_skips_waived_containers(publish_reports: Publish) -> None:
    folder, unused = publish_reports(MIXED, make_verification("good"))
    suites = {
        suite.get("name"): {case.get("name"): case for case in suite} for suite in ElementTree.parse(folder / publish.JUNIT).getroot()
    }
    cases = suites["mixed"]
    failure, waived, layer = (
        cases["container.host_pid"].find("failure"),
        cases["container.engine_socket"].find("skipped"),
        cases["userns"].find("skipped"),
    )
    assert failure is not None and waived is not None and layer is not None
    assert failure.get("message") == "containers web: its processes see the host's processes and can signal them"
    assert "CIS Docker Benchmark (1.8.0), 5.16" in (failure.text or "")
    assert waived.get("message") == "containers portainer: waived until 2099-12-31: it manages the host"
    assert layer.get("message") == "degraded, userns.off waived until 2099-12-31: it is needed"
    assert len(cases["container.block_device"]) == 0, "allowed"
    assert "container.host_network" not in cases, "not forbidden"
    assert [name for name in suites["good"] if str(name).startswith("container.")] == [f"container.{kind}" for kind in FORBIDDEN]
    assert not [case for case in suites["good"].values() if case.find("failure") is not None]


def test_unknown_exposures_are_errors_in_every_format(publish_reports: Publish) -> None:
    finding = make_finding("container.exposures_unknown", "container kata1: its exposures are unknown", "unknown")
    folder, done = publish_reports(make_verification("a", containers=[make_container("kata1", exposures=[], findings=[finding])]))
    case = ElementTree.parse(folder / publish.JUNIT).getroot().find("testsuite/testcase[@name='container.exposures_unknown']/error")
    assert case is not None and case.get("message") == "containers kata1: unknown exposures"
    (result,) = json.loads((folder / publish.SARIF).read_text())["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("container.exposures_unknown", "error")
    assert 'bulkhead_exposures{host="a",kind="unknown",state="unknown"} 1' in (folder / publish.METRICS).read_text()
    assert "  ? containers with unknown exposures: a: kata1" in [line for line, unused in summary.render_summary(done)]


def test_sarif_suppresses_what_is_accepted(publish_reports: Publish) -> None:
    folder, unused = publish_reports(MIXED)
    run = json.loads((folder / publish.SARIF).read_text())["runs"][0]
    # SARIF 2.1.0, 3.27.23: all results have the property, or none.
    found = {(r["ruleId"], r["level"]): [entry["justification"] for entry in r["suppressions"]] for r in run["results"]}
    assert found == {
        ("userns.off", "error"): ["waived until 2099-12-31: it is needed"],
        ("container.host_pid", "error"): [],
        ("container.host_network", "warning"): [],
        ("container.engine_socket", "warning"): ["waived until 2099-12-31: it manages the host"],
        ("container.block_device", "note"): ["allowed by allow_exposures of hardened_container_list"],
        ("waiver.expired", "warning"): [],
        ("waiver.unused", "warning"): [],
    }
    (expired,) = (r for r in run["results"] if r["ruleId"] == "waiver.expired")
    assert expired["message"]["text"] == "the waiver of container.host_pid expired on 2020-01-01; its reason was: it is needed"
    assert expired["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "fleet.json"
    socket = next(r for r in run["results"] if r["ruleId"] == "container.engine_socket")
    assert socket["properties"]["evidence"] == [{"source": "/proc/1/mountinfo", "value": "/run/docker.sock"}]
    prints = [result["partialFingerprints"]["bulkhead/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints)


def test_metrics_count_exposures_and_waivers(publish_reports: Publish) -> None:
    folder, unused = publish_reports(MIXED, make_verification("good"))
    lines = set((folder / publish.METRICS).read_text().splitlines())
    assert {
        'bulkhead_host_verified{host="mixed",condition="verified"} 1',
        'bulkhead_layer_holds{host="mixed",layer="userns",requirement="required",status="degraded"} 0',
        'bulkhead_layer_waived{host="mixed",layer="userns"} 1',
        'bulkhead_containers_exposed{host="mixed"} 1',
        'bulkhead_containers_exposed{host="good"} 0',
        'bulkhead_exposures{host="mixed",kind="host_pid",state="exposed"} 1',
        'bulkhead_exposures{host="mixed",kind="host_network",state="reported"} 1',
        'bulkhead_exposures{host="mixed",kind="engine_socket",state="waived"} 1',
        'bulkhead_exposures{host="mixed",kind="block_device",state="allowed"} 1',
        'bulkhead_findings_waived{host="mixed"} 2',
        'bulkhead_waivers{state="used"} 2',
        'bulkhead_waivers{state="unused"} 1',
        'bulkhead_waivers{state="expired"} 1',
        'bulkhead_waiver_end_timestamp_seconds{finding="container.host_pid",hosts="",containers=""} 1577923200',
    } <= lines


def test_the_summary_tells_verified_from_exposed(publish_reports: Publish) -> None:
    unused, done = publish_reports(MIXED, make_verification("good"))
    text = "\n".join(line for line, unused in summary.render_summary(done))
    assert text.startswith("Fleet: 2 of 2 hosts verified\n")
    assert "  x    1 container exposed on 1 host\n" in text
    assert "         mixed: host_pid, forbidden: web: its processes see" in text
    assert "  ! containers with reported exposures: host_network (1)\n" in text
    assert "  ~ containers with waived exposures: engine_socket (1)\n" in text
    assert "waiver.expired: the waiver of container.host_pid expired on 2020-01-01" in text
    assert "waiver.unused: the waiver of userns.overlap until 2099-12-31 matches no finding" in text


def test_the_summary_of_many_exposed_hosts_is_by_kind(publish_reports: Publish) -> None:
    unused, done = publish_reports(*(make_verification(f"h{number}", containers=[make_exposed("web")]) for number in range(9)))
    lines = [line for line, unused in summary.render_summary(done)]
    assert "  x    9 containers exposed on 9 hosts" in lines
    assert "         engine_socket: 9 containers on h0, h1, h2, h3, h4 and 4 more" in lines


def test_the_page_shows_exposures_and_waivers(publish_reports: Publish) -> None:
    folder, unused = publish_reports(MIXED)
    page = (folder / publish.PAGE).read_text()
    assert "<strong>1 of 1</strong> hosts verified. <strong>1</strong> container exposed on 1 host." in page
    section = page.partition('<section id="exposures">')[2].partition("</section>")[0]
    assert re.findall(r"<strong>(\w+)</strong> (\w+), (\w+), 1 container: (\w+)", section) == [
        ("host_pid", "exposed", "critical", "web"),
        ("host_network", "reported", "medium", "web"),
        ("engine_socket", "waived", "critical", "portainer"),
        ("block_device", "allowed", "critical", "agent"),
    ]
    assert (
        "<td>mixed</td><td>web</td><td>/run/docker.sock</td><td>it has /run/docker.sock</td><td><code>/proc/1/mountinfo</code>" in section
    )
    assert section.count("<td>! expired</td>") == section.count("<td>! unused</td>") == 1
    assert "!~ degraded</td>" in page


def test_new_exposures_are_changes_for_the_worse(publish_reports: Publish) -> None:
    publish_reports(make_verification("a"))
    unused, done = publish_reports(make_verification("a", containers=[make_exposed("web")], ago=0), run="2", now=NOW + 60)
    assert [(c.what, c.before, c.after, c.better) for c in done.changes] == [
        ("container web is exposed by", "nothing", "engine_socket", False)
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
    entry = {"id": HOSTILE, "kind": HOSTILE, "object": HOSTILE, "severity": HOSTILE, "text": HOSTILE, "source": HOSTILE, "value": HOSTILE}
    box["exposures"] = [entry, {**entry, "kind": "host_pid"}]
    waiver = make_waiver("container.engine_socket", "2020-01-01", host=HOSTILE, reason=HOSTILE, container=HOSTILE)
    strange = make_attack(HOSTILE, {HOSTILE: {"none": "succeeded", "host": "blocked"}}, unmet=[HOSTILE])
    return [
        make_verification(HOSTILE, own, make_layer("userns"), make_layer(HOSTILE), containers=[box], policy=make_policy(waiver)),
        make_verification("known", own, make_layer("userns"), containers=[box], policy=make_policy(waiver)),
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
    assert page.tags == harmless.tags | {"article", "details", "summary"}
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
