# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts count as verified. A host without a good result must never do so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import fleet
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.read import Reports, read_reports

from .samples import (
    DAY,
    NOW,
    format_time,
    make_attack,
    make_container,
    make_exposure,
    make_finding,
    make_layer,
    make_policy,
    make_unreachable,
    make_verification,
    make_waiver,
    write_reports,
)


def judge(report: dict[str, Any] | None, known: bool = True, matrix: dict[str, Any] | None = None) -> fleet.HostState:
    reports = Reports({"h": report} if report else {}, {"h": matrix} if matrix else {})
    inventory = fleet.InventoryHosts({"h": {"canary"}} if known else {"other": set()}, ["h"] if known else [])
    return next(host for host in fleet.judge_fleet(reports, inventory, NOW, 2 * DAY).hosts if host.name == "h")


@pytest.mark.parametrize(
    ("report", "condition"),
    [
        (make_verification("h"), "verified"),
        (make_verification("h", make_layer("userns", "absent", "optional"), make_layer("seccomp")), "verified"),
        (make_verification("h", make_layer("userns", "absent")), "failing"),
        (make_verification("h", make_layer("userns", "degraded")), "failing"),
        (make_verification("h", make_layer("userns", "not_applicable")), "failing"),
        (make_verification("h", make_layer("userns", "absent"), make_layer("seccomp", "unknown"), probe=False), "failing"),
        (make_verification("h", make_layer("userns", "unknown")), "unverified"),
        (make_verification("h", probe=False), "unverified"),
        (make_verification("h", make_layer("userns", "enforced", "optional")), "unverified"),  # nothing is required
        (make_verification("h", ago=2 * DAY + 1), "stale"),
        (make_verification("h", make_layer("userns", "absent"), ago=3 * DAY), "stale"),
        (make_verification("h", ago=-100), "verified"),  # the control node's clock was set back
        (make_unreachable("h"), "unreachable"),
        (make_unreachable("h", ago=9 * DAY), "unreachable"),
        ({"host": "h", "written": make_verification("h")["written"], "error": "no python", "verification": {}}, "unverified"),
        (make_verification("h", failure={"task": "Change it", "msg": "no"}), "failing"),  # whatever is enforced afterwards
        (
            {
                "host": "h",
                "written": make_verification("h")["written"],
                "started": True,
                "error": "a rollout has started",
                "verification": {},
            },
            "unverified",
        ),
        (None, "never"),
    ],
)
def test_condition(report: dict[str, Any] | None, condition: str) -> None:
    host = judge(report)
    assert host.condition == condition
    assert host.why
    assert host.groups == ["canary"]


def test_a_host_outside_the_inventory_is_gone() -> None:
    assert judge(make_verification("h"), known=False).condition == "gone"
    assert judge(make_unreachable("h"), known=False).condition == "gone"


def test_without_an_inventory_the_reports_are_the_fleet() -> None:
    reports = Reports({"h": make_verification("h")})
    assert [host.condition for host in fleet.judge_fleet(reports, None, NOW, DAY).hosts] == ["verified"]


def test_an_unmet_attack_requirement_fails_the_host() -> None:
    matrix = make_attack(
        "h", {"bpf": {"none": "succeeded", "host": "succeeded"}}, unmet=["bpf is stopped by 0 layers (none), and 1 must stop it"]
    )
    host = judge(make_verification("h"), matrix=matrix)
    assert host.condition == "failing"
    assert "bpf is stopped by 0 layers" in host.why


def test_a_layer_without_a_verification_is_unknown() -> None:
    assert judge(make_unreachable("h")).get_status("userns") == "unknown"
    assert not judge(make_verification("h", make_layer("userns", "unknown"))).is_satisfied("userns")


def test_the_worst_hosts_come_first_and_layers_are_in_order() -> None:
    reports = Reports(
        {name: make_verification(name) for name in ("b", "a")}
        | {"z": make_verification("z", make_layer("userns", "absent"), make_layer("brand_new"))}
    )
    found = fleet.judge_fleet(reports, fleet.InventoryHosts({}, ["a", "b", "z", "n"]), NOW, DAY)
    assert [(host.name, host.condition) for host in found.hosts] == [("z", "failing"), ("n", "never"), ("a", "verified"), ("b", "verified")]
    assert found.layers[:3] == ["pids_limit", "no_new_privileges", "seccomp"]
    assert found.layers[-1] == "brand_new"


@pytest.mark.parametrize(
    ("engines", "shown"),
    [
        ([], None),
        ([{"kind": "rootful", "user": "root", "judged": True}], None),
        ([{"kind": "rootless", "user": "ci", "judged": True}], "rootless of ci, judged"),
        (
            [{"kind": "rootful", "user": "root", "judged": True}, {"kind": "rootless", "user": "ci", "judged": False}],
            "rootful of root, judged; rootless of ci, not examined",
        ),
    ],
)
def test_several_and_rootless_engines_are_listed(engines: list[dict[str, Any]], shown: str | None) -> None:
    report = make_verification("h")
    report["verification"]["engines"] = engines
    assert judge(report).about.get("engines") == shown


def test_only_deviating_containers_are_kept() -> None:
    odd = make_container("odd", opted_out=["userns"], layers=[make_layer("userns", "absent"), make_layer("seccomp")])
    host = judge(make_verification("h", containers=[make_container("plain"), odd]))
    assert host.running == 2
    assert [(c["name"], [own["layer"] for own in c["layers"]]) for c in host.containers] == [("odd", ["userns"])]
    assert host.containers[0]["notes"] == ["opted out of userns"]


def test_reports_are_keyed_by_the_host_that_they_name(tmp_path: Path) -> None:
    reports = read_reports(
        write_reports(tmp_path, make_verification("a"), make_unreachable("b"), make_attack("a", {"bpf": {"none": "succeeded"}}))
    )
    assert set(reports.verify) == {"a", "b"}
    assert set(reports.attack) == {"a"}
    assert reports.problems == []


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '"text"',
        json.dumps({"host": "h"}),
        json.dumps({"host": "h", "written": "yesterday"}),
        json.dumps({**make_verification("h"), "verification": []}),
        json.dumps({**make_verification("h"), "verification": {"layers": []}}),
        json.dumps(make_verification("h", {"layer": "userns"})),
        json.dumps(make_verification("h", make_layer("userns", evidence=[{"source": "x"}]))),
        json.dumps(make_verification("h", make_layer("userns", findings=[{"id": "x"}]))),
        json.dumps(make_verification("h", containers=[{"name": "web"}])),
        json.dumps(make_verification("h", containers=[make_container(opted_out=[1])])),
        json.dumps(make_verification("h", containers=[make_container(findings=["text"])])),
        json.dumps(make_verification("h", containers=[make_container(exposures=["text"])])),
        json.dumps(make_verification("h", containers=[make_container(exposures=[{"id": "x"}])])),
        json.dumps(make_verification("h", containers=[make_container(exposures=[make_exposure(object=1)])])),
        json.dumps(make_verification("h", containers=[make_container(findings=[{**make_finding("x"), "exposures": [1]}])])),
        json.dumps(make_verification("h", containers=[make_container(usage=[])])),
        json.dumps(make_verification("h", containers=[make_container(usage={"pids": 61})])),
        json.dumps(make_verification("h", containers=[make_container(usage={"pids": {"limit_hits": "61"}})])),
        json.dumps(make_verification("h", policy={})),
        json.dumps(make_verification("h", policy=make_policy(make_waiver(until="never")))),
        json.dumps(make_verification("h", exposed=[{"container": 1, "kind": "x"}])),
        json.dumps(make_verification("h", waived={"container": "x"})),
        json.dumps(make_verification("h", failure="no")),
        json.dumps(make_verification("h", failure={"task": "x"})),
        json.dumps(make_verification("h", expected=[])),
        json.dumps(make_verification("h", problem=None)),
    ],
)
def test_an_invalid_report_is_a_problem_and_not_verified(tmp_path: Path, content: str) -> None:
    (tmp_path / "verify-h.json").write_text(content)
    reports = read_reports(tmp_path)
    assert reports.verify == {}
    assert len(reports.problems) == 1
    assert "verify-h.json is not a report: " in reports.problems[0]
    found = fleet.judge_fleet(reports, fleet.InventoryHosts({"h": set()}, ["h"]), NOW, DAY)
    assert [host.condition for host in found.hosts] == ["never"]
    assert found.problems == reports.problems


@pytest.mark.parametrize("matrix", [None, {}, {"configurations": [], "attacks": [{"name": "x"}]}])
def test_an_invalid_matrix_is_a_problem(tmp_path: Path, matrix: Any) -> None:
    (tmp_path / "attack-h.json").write_text(json.dumps({**make_attack("h", {"x": {"none": "succeeded"}}), "matrix": matrix}))
    reports = read_reports(tmp_path)
    assert reports.attack == {}
    assert len(reports.problems) == 1


@pytest.mark.parametrize(
    ("ago", "unreached", "condition"),
    [(30, True, "unreachable"), (30, False, "unverified"), (90, True, "verified"), (90, False, "verified")],
)
def test_attacks_without_result_hide_older_verifications(tmp_path: Path, ago: float, unreached: bool, condition: str) -> None:
    nothing = {"host": "h", "written": format_time(ago), "unmet": [], "matrix": {}, "unreachable": unreached, "error": "no route"}
    (host,) = fleet.judge_fleet(
        read_reports(write_reports(tmp_path, make_verification("h", ago=60), nothing)), fleet.InventoryHosts({"h": set()}, ["h"]), NOW, DAY
    ).hosts
    assert (host.condition, host.attack) == (condition, None)
    (host,) = fleet.judge_fleet(
        read_reports(write_reports(tmp_path, make_verification("h", ago=60), nothing)), fleet.InventoryHosts({}, []), NOW, DAY
    ).hosts
    assert host.condition == "gone"


def test_an_unreachable_host_of_attacks_is_unreachable(tmp_path: Path) -> None:
    nothing = {"host": "h", "written": format_time(), "unmet": [], "matrix": {}, "unreachable": True, "error": "no route"}
    (host,) = fleet.judge_fleet(read_reports(write_reports(tmp_path, nothing)), fleet.InventoryHosts({"h": set()}, ["h"]), NOW, DAY).hosts
    assert (host.condition, host.why) == ("unreachable", "last tried < 2 min ago: no route")


def test_bytes_that_are_not_text_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "verify-h.json").write_bytes(b"\xff\xfe{")
    assert len(read_reports(tmp_path).problems) == 1
