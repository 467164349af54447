# SPDX-License-Identifier: GPL-3.0-or-later
"""Waivers: what is accepted as input, which findings they match, and when they are expired or unused."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import fleet, waivers
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.findings import list_problems
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.read import Reports
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.waivers import Waiver, parse_waivers

from .samples import DAY, NOW, make_container, make_exposed, make_policy, make_unreachable, make_verification, make_waiver

GOOD = {"finding": "container.engine_socket", "reason": "it is needed", "until": "2027-03-31"}


@pytest.mark.parametrize("until", ["2027-03-31", date(2027, 3, 31), " 2027-03-31 "])
def test_a_date_is_accepted_with_and_without_quotes(until: Any) -> None:
    found, problems = parse_waivers([{**GOOD, "until": until, "host": None}])
    assert (problems, [waiver.until for waiver in found]) == ([], ["2027-03-31"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "bulkhead_waivers: 'text' is not a list; write a list of waivers"),
        ({"finding": "x"}, "bulkhead_waivers: {'finding': 'x'} is not a list"),
        (["text"], "bulkhead_waivers[0]: 'text' is not a mapping; write finding, reason, until"),
        ([GOOD, {**GOOD, "untill": 1}], "bulkhead_waivers[1].untill: is not a key of a waiver; write until"),
        ([{**GOOD, "xyzzy": 1}], "bulkhead_waivers[0].xyzzy: is not a key of a waiver; known are finding, host, container, reason, until"),
        ([{"finding": "userns.overlap", "until": "2027-01-01"}], "bulkhead_waivers[0].reason: is missing; write why"),
        ([{"finding": "userns.overlap", "reason": "x"}], "bulkhead_waivers[0].until: is missing; write the last day as YYYY-MM-DD"),
        ([{"reason": "x", "until": "2027-01-01"}], "bulkhead_waivers[0].finding: is missing; write the ID of a finding"),
        ([{**GOOD, "reason": "  "}], "bulkhead_waivers[0].reason: '  ' is empty; write why the finding is accepted"),
        ([{**GOOD, "reason": None}], "bulkhead_waivers[0].reason: is missing"),
        ([{**GOOD, "reason": 7}], "bulkhead_waivers[0].reason: 7 is not a text"),
        ([{**GOOD, "host": ["web1"]}], "bulkhead_waivers[0].host: ['web1'] is not a text; write a pattern of host names"),
        ([{**GOOD, "container": ""}], "bulkhead_waivers[0].container: '' is empty; write a pattern of container names"),
        ([{**GOOD, "until": "31.12.2027"}], "bulkhead_waivers[0].until: '31.12.2027' is not a date; write the last day as YYYY-MM-DD"),
        ([{**GOOD, "until": "2027-02-30"}], "bulkhead_waivers[0].until: '2027-02-30' is not a date"),
        ([{**GOOD, "until": "20270331"}], "bulkhead_waivers[0].until: '20270331' is not a date"),
        ([{**GOOD, "until": 20270331}], "bulkhead_waivers[0].until: 20270331 is not a date"),
        ([{**GOOD, "until": datetime(2027, 3, 31)}], "bulkhead_waivers[0].until: '2027-03-31 00:00:00' is not a date"),
        ([{**GOOD, "finding": 5.1}], "bulkhead_waivers[0].finding: 5.1 is not a text"),
        (
            [{**GOOD, "finding": "5.10"}],
            "bulkhead_waivers[0].finding: '5.10' is not the ID of a finding or the number of a control; write CIS-5.10",
        ),
        ([{**GOOD, "finding": "cis-5.10"}], "'cis-5.10' is not the ID of a finding or the number of a control; write CIS-5.10"),
        ([{**GOOD, "finding": "CIS-9.99"}], "'CIS-9.99' is not the ID of a finding or the number of a control; write "),
        ([{**GOOD, "finding": "container.engine_sockt"}], "is not a finding of containers; write container.engine_socket"),
        ([{**GOOD, "finding": "container.xyzzy"}], "is not a finding of containers; kinds of exposure are privileged, "),
        ([{**GOOD, "finding": "usrns.overlap"}], "'usrns.overlap' is not the ID of a finding; write userns.overlap"),
        ([{**GOOD, "finding": "xyzzy.q"}], "'xyzzy.q' is not the ID of a finding; its first part is one of pids_limit, "),
        ([GOOD, GOOD], "bulkhead_waivers[1]: container.engine_socket is the same as bulkhead_waivers[0]; remove one of them"),
    ],
)
def test_bad_input_is_one_message(value: Any, message: str) -> None:
    (problem,) = parse_waivers(value)[1]
    assert message in problem


@pytest.mark.parametrize("finding", ["CIS-5.10", "userns.overlap", "demand.memory", "container.not_running", "engine.orphan"])
def test_known_findings_are_accepted(finding: str) -> None:
    assert parse_waivers([{**GOOD, "finding": finding}])[1] == []


@pytest.mark.parametrize(
    ("waiver", "container", "status", "matches"),
    [
        ({}, "web", "degraded", True),
        ({"container": "web"}, "web", "degraded", True),
        ({"container": "w*"}, "web", "degraded", True),
        ({"container": "W*"}, "web", "degraded", False),  # names of containers differ by case
        ({"container": "db"}, "web", "degraded", False),
        ({"container": "*"}, "", "degraded", False),  # a finding of the host
        ({}, "", "degraded", True),
        ({"finding": "CIS-5.32"}, "web", "degraded", True),
        ({"finding": "CIS-5.32"}, "web", "unknown", False),
        ({}, "web", "unknown", True),
        ({"finding": "CIS-5.3"}, "web", "degraded", False),
        ({"finding": "container.engine"}, "web", "degraded", False),
    ],
)
def test_which_findings_a_waiver_matches(waiver: dict[str, str], container: str, status: str, matches: bool) -> None:
    found = Waiver(**{**GOOD, **waiver})
    assert found.is_match("container.engine_socket", ["CIS-5.32", "NIST-4.4.3"], container, status) is matches


def test_a_waiver_is_valid_through_its_last_day() -> None:
    waiver = Waiver(**GOOD)
    assert [waiver.is_expired(date(2027, 3, day)) for day in (30, 31)] == [False, False]
    assert waiver.is_expired(date(2027, 4, 1))


def judge(
    *reports: dict[str, Any], expected: tuple[str, ...] = (), groups: dict[str, set[str]] | None = None, known: bool = True
) -> fleet.Fleet:
    names = {report["host"]: {"docker_hosts"} for report in reports}
    inventory = fleet.InventoryHosts({**names, **(groups or {})}, [*names, *expected]) if known else None
    return fleet.judge_fleet(Reports({report["host"]: report for report in reports}), inventory, NOW, 2 * DAY)


def make_report(host: str, *waived: dict[str, str], containers: Any = (), **more: Any) -> dict[str, Any]:
    return make_verification(host, containers=containers, policy=make_policy(*waived), **more)


ANY, WEB, DB = make_waiver(), make_waiver(host="web*"), make_waiver(host="db*")
SOCKET = [make_exposed("portainer")]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (judge(make_report("web1", ANY, containers=SOCKET)), "used"),
        (judge(make_report("web1", ANY), make_report("web2", ANY, containers=SOCKET)), "used"),
        (judge(make_report("web1", ANY)), "unused"),
        (judge(make_report("web1", make_waiver(container="other"), containers=SOCKET)), "unused"),
        (judge(make_report("web1", ANY), make_unreachable("web2")), "unchecked"),
        (judge(make_report("web1", ANY), expected=("web2",)), "unchecked"),  # never verified
        (judge(make_report("web1", ANY), make_report("web2", ANY, ago=9 * DAY)), "unchecked"),  # stale
        (judge(make_report("web1", WEB), make_unreachable("db1")), "unused"),  # db1 is not in its scope
        (judge(make_report("web1", ANY), make_report("db1", ago=9 * DAY)), "unused"),  # the policy of db1 has no such waiver
        (judge(make_report("web1", DB)), "unused"),  # no host of the inventory matches
        (judge(make_report("web1", DB), groups={"db1": {"docker_hosts"}}), "unchecked"),  # this run targets web1 only
        (judge(make_report("web1", DB), groups={"db1": {"other"}}), "unchecked"),
        (judge(make_report("web1", ANY), groups={"db1": {"docker_hosts"}}), "unchecked"),
        (judge(make_report("web1", ANY), groups={"localhost": {"control"}}), "unused"),
        (judge(make_report("web1", ANY), known=False), "unused"),
        (judge(make_report("web1", DB), known=False), "unchecked"),
        (judge(make_report("web1", make_waiver(until="2020-01-01"), containers=SOCKET)), "expired"),
        (judge(make_report("web1", make_waiver(until="2020-01-01")), make_unreachable("web2")), "expired"),
    ],
)
def test_state_of_a_waiver_of_the_fleet(found: fleet.Fleet, state: str) -> None:
    assert [entry.state for entry in found.waivers] == [state]
    problems = [problem.id for problem in list_problems(found) if problem.id.startswith("waiver.")]
    assert problems == ([f"waiver.{state}"] if state in ("unused", "expired") else [])


def test_an_expired_waiver_accepts_nothing() -> None:
    found = judge(make_report("web1", make_waiver(until="2020-01-01"), containers=SOCKET))
    assert [host.name for host in found.exposed_hosts] == ["web1"]


def test_an_allowed_exposure_leaves_a_waiver_unused() -> None:
    report = make_verification(
        "h", containers=[make_exposed("web"), make_container()], policy=make_policy(ANY, allow={"web": ["engine_socket"]})
    )
    assert [entry.state for entry in judge(report).waivers] == ["unused"]


def test_the_date_is_that_of_the_control_node() -> None:
    assert waivers.get_today(NOW) == date.fromtimestamp(NOW)
    assert abs((waivers.get_today() - date.today()).days) <= 1


SHAPE = {**GOOD, "host": "", "container": ""}


@pytest.mark.parametrize("entries", [None, {}, ["text"], [GOOD], [{**SHAPE, "container": 1}], [{**SHAPE, "until": "x"}]])
def test_waivers_of_a_report_are_checked(entries: Any) -> None:
    with pytest.raises(ValueError, match="policy"):
        waivers.load_waivers(entries)
