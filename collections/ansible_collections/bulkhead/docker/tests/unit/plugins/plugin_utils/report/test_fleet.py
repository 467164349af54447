# SPDX-License-Identifier: GPL-3.0-or-later
"""Who counts as verified. A host that nobody knows anything good of must never do so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import fleet
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.read import Reports, read

from .samples import DAY, NOW, attack, container, lay, layer, stamp, unreachable, verify


def judged(report: dict[str, Any] | None, known: bool = True, matrix: dict[str, Any] | None = None) -> fleet.HostState:
    reports = Reports({"h": report} if report else {}, {"h": matrix} if matrix else {})
    inventory = fleet.Inventory({"h": {"probe"}} if known else {"other": set()}, ["h"] if known else [])
    return next(host for host in fleet.judge(reports, inventory, NOW, 2 * DAY).hosts if host.name == "h")


@pytest.mark.parametrize(
    ("report", "condition"),
    [
        (verify("h"), "verified"),
        (verify("h", layer("userns", "absent", "optional"), layer("seccomp")), "verified"),
        (verify("h", layer("userns", "absent")), "failing"),
        (verify("h", layer("userns", "degraded")), "failing"),
        (verify("h", layer("userns", "not_applicable")), "failing"),
        (verify("h", layer("userns", "absent"), layer("seccomp", "unknown"), probe=False), "failing"),
        (verify("h", layer("userns", "unknown")), "unproven"),
        (verify("h", probe=False), "unproven"),
        (verify("h", layer("userns", "enforced", "optional")), "unproven"),  # nothing is required
        (verify("h", ago=2 * DAY + 1), "stale"),
        (verify("h", layer("userns", "absent"), ago=3 * DAY), "stale"),
        (verify("h", ago=-100), "verified"),  # the control node's clock was set back
        (unreachable("h"), "unreachable"),
        (unreachable("h", ago=9 * DAY), "unreachable"),
        ({"host": "h", "written": verify("h")["written"], "error": "no python", "verification": {}}, "unproven"),
        (verify("h", failure={"task": "Change it", "msg": "no"}), "failing"),  # whatever held afterwards
        ({"host": "h", "written": verify("h")["written"], "begun": True, "error": "a rollout began", "verification": {}}, "unproven"),
        (None, "never"),
    ],
)
def test_condition(report: dict[str, Any] | None, condition: str) -> None:
    host = judged(report)
    assert host.condition == condition
    assert host.why
    assert host.groups == ["probe"]


def test_a_host_that_left_the_inventory_is_not_a_good_one() -> None:
    assert judged(verify("h"), known=False).condition == "gone"
    assert judged(unreachable("h"), known=False).condition == "gone"


def test_without_an_inventory_the_reports_are_all_there_is() -> None:
    reports = Reports({"h": verify("h")})
    assert [host.condition for host in fleet.judge(reports, None, NOW, DAY).hosts] == ["verified"]


def test_an_attack_that_is_not_stopped_as_demanded_fails_the_host() -> None:
    matrix = attack(
        "h", {"bpf": {"none": "succeeded", "host": "succeeded"}}, unmet=["bpf is stopped by 0 layers (none), and 1 have to stop it"]
    )
    host = judged(verify("h"), matrix=matrix)
    assert host.condition == "failing"
    assert "bpf is stopped by 0 layers" in host.why


def test_a_layer_of_a_host_without_proof_is_unknown_and_does_not_hold_when_required() -> None:
    assert judged(unreachable("h")).status("userns") == "unknown"
    assert not judged(verify("h", layer("userns", "unknown"))).holds("userns")


def test_the_worst_come_first_and_the_layers_are_in_order_of_effort() -> None:
    reports = Reports({name: verify(name) for name in ("b", "a")} | {"z": verify("z", layer("userns", "absent"), layer("brand_new"))})
    found = fleet.judge(reports, fleet.Inventory({}, ["a", "b", "z", "n"]), NOW, DAY)
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
            "rootful of root, judged; rootless of ci, not looked into",
        ),
    ],
)
def test_engines_beside_the_usual_one_are_told(engines: list[dict[str, Any]], shown: str | None) -> None:
    report = verify("h")
    report["verification"]["engines"] = engines
    assert judged(report).about.get("engines") == shown


def test_only_containers_of_which_something_is_to_be_known_are_kept() -> None:
    odd = container("odd", opted_out=["userns"], layers=[layer("userns", "absent"), layer("seccomp")])
    host = judged(verify("h", containers=[container("plain"), odd]))
    assert host.running == 2
    assert [(c["name"], [own["layer"] for own in c["layers"]]) for c in host.containers] == [("odd", ["userns"])]
    assert host.containers[0]["notes"] == ["opted out of userns"]


def test_reports_are_read_by_the_host_that_they_name(tmp_path: Path) -> None:
    reports = read(lay(tmp_path, verify("a"), unreachable("b"), attack("a", {"bpf": {"none": "succeeded"}})))
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
        json.dumps({**verify("h"), "verification": []}),
        json.dumps({**verify("h"), "verification": {"layers": []}}),
        json.dumps(verify("h", {"layer": "userns"})),
        json.dumps(verify("h", layer("userns", evidence=[{"source": "x"}]))),
        json.dumps(verify("h", layer("userns", findings=[{"id": "x"}]))),
        json.dumps(verify("h", containers=[{"name": "web"}])),
        json.dumps(verify("h", containers=[container(opted_out=[1])])),
        json.dumps(verify("h", containers=[container(findings=["text"])])),
        json.dumps(verify("h", failure="no")),
        json.dumps(verify("h", failure={"task": "x"})),
        json.dumps(verify("h", expected=[])),
        json.dumps(verify("h", problem=None)),
    ],
)
def test_what_is_no_report_is_a_problem_and_no_good_host(tmp_path: Path, content: str) -> None:
    (tmp_path / "verify-h.json").write_text(content)
    reports = read(tmp_path)
    assert reports.verify == {}
    assert len(reports.problems) == 1
    assert "verify-h.json is not a report: " in reports.problems[0]
    found = fleet.judge(reports, fleet.Inventory({"h": set()}, ["h"]), NOW, DAY)
    assert [host.condition for host in found.hosts] == ["never"]
    assert found.problems == reports.problems


@pytest.mark.parametrize("matrix", [None, {}, {"configurations": [], "attacks": [{"name": "x"}]}])
def test_what_is_no_matrix_is_a_problem(tmp_path: Path, matrix: Any) -> None:
    (tmp_path / "attack-h.json").write_text(json.dumps({**attack("h", {"x": {"none": "succeeded"}}), "matrix": matrix}))
    reports = read(tmp_path)
    assert reports.attack == {}
    assert len(reports.problems) == 1


@pytest.mark.parametrize(
    ("ago", "unreached", "condition"),
    [(30, True, "unreachable"), (30, False, "unproven"), (90, True, "verified"), (90, False, "verified")],
)
def test_attacks_that_came_to_nothing_are_no_proof_until_there_is_a_newer_one(
    tmp_path: Path, ago: float, unreached: bool, condition: str
) -> None:
    nothing = {"host": "h", "written": stamp(ago), "unmet": [], "matrix": {}, "unreachable": unreached, "error": "no route"}
    (host,) = fleet.judge(read(lay(tmp_path, verify("h", ago=60), nothing)), fleet.Inventory({"h": set()}, ["h"]), NOW, DAY).hosts
    assert (host.condition, host.attack) == (condition, None)
    (host,) = fleet.judge(read(lay(tmp_path, verify("h", ago=60), nothing)), fleet.Inventory({}, []), NOW, DAY).hosts
    assert host.condition == "gone"


def test_a_host_that_was_only_attacked_and_not_reached_is_unreachable(tmp_path: Path) -> None:
    nothing = {"host": "h", "written": stamp(), "unmet": [], "matrix": {}, "unreachable": True, "error": "no route"}
    (host,) = fleet.judge(read(lay(tmp_path, nothing)), fleet.Inventory({"h": set()}, ["h"]), NOW, DAY).hosts
    assert (host.condition, host.why) == ("unreachable", "last tried < 2 min ago: no route")


def test_bytes_that_are_no_text_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "verify-h.json").write_bytes(b"\xff\xfe{")
    assert len(read(tmp_path).problems) == 1
