# SPDX-License-Identifier: GPL-3.0-or-later
"""What the policy makes of a verification: exposed, waived and allowed containers, and waived layers."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import FORBIDDEN
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import fleet, policy, single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.read import Reports
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.verification_table import list_unenforced, render_verification

from .samples import (
    DAY,
    NOW,
    make_container,
    make_exposed,
    make_exposure,
    make_finding,
    make_layer,
    make_policy,
    make_verification,
    make_waiver,
)

TODAY = date(2027, 1, 15)


def judge(*containers: dict[str, Any], layers: Any = (), findings: Any = (), **more: Any) -> policy.Judgement:
    waivers = more.pop("waivers", ())
    content = make_verification("web1", *layers, containers=containers)["verification"]
    return policy.judge_policy("web1", {**content, "findings": list(findings)}, policy.load_policy(make_policy(*waivers, **more)), TODAY)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("privileged", "bulkhead_containers_forbid: 'privileged' is not a list; write a list of kinds of exposure, such as [privileged"),
        ("[]", "bulkhead_containers_forbid: '[]' is not a list"),
        (True, "bulkhead_containers_forbid: True is not a list"),
        (["privilegd"], "bulkhead_containers_forbid[0]: 'privilegd' is not a kind of exposure; write privileged"),
        (["host_pid", "xyzzy"], "bulkhead_containers_forbid[1]: 'xyzzy' is not a kind of exposure; kinds of exposure are privileged, "),
        ([7], "bulkhead_containers_forbid[0]: 7 is not a kind of exposure"),
        ([["host_pid"]], "bulkhead_containers_forbid[0]: ['host_pid'] is not a kind of exposure"),
    ],
)
def test_an_unknown_kind_is_one_message(value: Any, message: str) -> None:
    (problem,) = policy.find_variable_problems({policy.FORBID: value})
    assert message in problem


@pytest.mark.parametrize(
    ("value", "wrong"), [("none", 0), ("profiles", 0), ("All", 0), (True, 0), ("no", 0), ("deep", 1), (None, 0), (["all"], 1)]
)
def test_the_mode_of_a_deep_verification(value: Any, wrong: int) -> None:
    problems = policy.find_variable_problems({"bulkhead_deep": value})
    assert problems == [f"bulkhead_deep: {value!r} is not a mode; write none, profiles or all"] * wrong


@pytest.mark.parametrize(("value", "wrong"), [(True, False), ("no", False), ("maybe", True), (2, True)])
def test_the_search_of_images_is_a_boolean(value: Any, wrong: bool) -> None:
    problems = policy.find_variable_problems({"bulkhead_search_images": value})
    assert problems == [f"bulkhead_search_images: {value!r} is not a boolean; write true or false"] * wrong


def test_missing_values_and_good_values() -> None:
    assert policy.find_variable_problems({}) == []
    assert policy.find_variable_problems({policy.FORBID: [], "bulkhead_waivers": []}) == []
    assert policy.find_variable_problems({policy.FORBID: None}) == ["bulkhead_containers_forbid: has no value; leave it out, or write []"]
    found, problems = policy.resolve_policy(None, None, {"containers": {"web": {"allow_exposures": ["device"]}, "db": {}}})
    assert (found.forbid, found.allow, problems) == (FORBIDDEN, {"web": ("device",)}, [])
    assert policy.load_policy(found.as_dict()) == found


@pytest.mark.parametrize(
    ("kind", "more", "state"),
    [
        ("engine_socket", {}, "exposed"),
        ("host_network", {}, "reported"),
        ("engine_socket", {"forbid": []}, "reported"),
        ("host_network", {"forbid": ["host_network"]}, "exposed"),
        ("engine_socket", {"waivers": [make_waiver()]}, "waived"),
        ("engine_socket", {"waivers": [make_waiver("CIS-5.32", container="web")]}, "waived"),
        ("engine_socket", {"waivers": [make_waiver(until="2027-01-14")]}, "exposed"),
        ("engine_socket", {"waivers": [make_waiver(until="2027-01-15")]}, "waived"),
        ("engine_socket", {"waivers": [make_waiver(host="db*")]}, "exposed"),
        ("engine_socket", {"waivers": [make_waiver(container="db")]}, "exposed"),
        ("engine_socket", {"waivers": [make_waiver("container.host_pid")]}, "exposed"),
        ("engine_socket", {"allow": {"web": ["engine_socket"]}}, "allowed"),
        ("engine_socket", {"allow": {"db": ["engine_socket"]}}, "exposed"),
        ("engine_socket", {"allow": {"web": ["engine_socket"]}, "waivers": [make_waiver()]}, "allowed"),
        ("host_network", {"waivers": [make_waiver("container.host_network")]}, "waived"),
    ],
)
def test_state_of_an_exposure(kind: str, more: dict[str, Any], state: str) -> None:
    assert [granted.state for granted in judge(make_exposed("web", kind), **more).granted] == [state]


@pytest.mark.parametrize(("forbid", "state"), [(FORBIDDEN, "listed"), (["no_memory_limit"], "exposed")])
def test_a_kind_that_is_only_a_note_can_be_forbidden(forbid: Any, state: str) -> None:
    box = make_container("web", exposures=[make_exposure("no_memory_limit", "memory.max", severity="note")])
    (granted,) = judge(box, forbid=forbid).granted
    assert (granted.state, granted.finding) == (state, "container.no_memory_limit")


def test_a_report_without_exposures_is_judged_by_its_findings() -> None:
    box = make_container("web", findings=[make_finding("container.privileged"), make_finding("container.other")])
    assert [granted.kind for granted in judge(box).exposed] == ["privileged"]


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "unknown"),
        ({"forbid": []}, "reported"),
        ({"waivers": [make_waiver("container.exposures_unknown", container="kata*")]}, "waived"),
        ({"waivers": [make_waiver("CIS-5.32")]}, "unknown"),
    ],
)
def test_unknown_exposures_may_be_forbidden_ones(more: dict[str, Any], state: str) -> None:
    box = make_container(
        "kata1", exposures=[], findings=[make_finding("container.exposures_unknown", "its exposures are unknown", "unknown")]
    )
    judged = judge(box, **more)
    assert [(granted.kind, granted.state) for granted in judged.granted] == [("unknown", state)]
    verification = make_verification("web1", containers=[box])["verification"]
    report = single.build_report("web1", verification, False, policy=judged.policy, today=TODAY)
    assert report["exposures_unknown"] == (["kata1"] if state == "unknown" else [])
    text = "containers with unknown exposures on web1: kata1" if state == "unknown" else ""
    assert (single.describe_exposed("web1", report), report["problem"]) == (text, "")


def test_a_single_container_is_shown_with_sources() -> None:
    verification = make_verification("h", containers=[make_exposed("web")])["verification"]
    judged = policy.judge_policy("h", verification, policy.Policy(), TODAY)
    lines = [text for text, unused in render_verification("h", verification, judged)]
    start = lines.index("  x engine_socket, forbidden: web: its processes can command the engine, and so the host")
    assert lines[start + 1 : start + 3] == [
        "      it has /run/docker.sock  <- /proc/1/mountinfo",
        "      -> make it right",
    ]


def test_a_container_without_evidence_has_one_note() -> None:
    layers = [
        make_layer(name, "unknown", findings=[make_finding(f"{name}.no_evidence", "container web: gone", "unknown")])
        for name in ("seccomp", "userns")
    ]
    box = make_container("web", layers=layers)
    lines = [text for text, unused in render_verification("h", make_verification("h", containers=[box])["verification"])]
    assert [line for line in lines if "gone" in line] == ["  ! web: container web: gone"]


def test_exposures_of_one_kind_are_one_entry() -> None:
    box = make_exposed("web")
    box["exposures"].append(make_exposure(target="/run/containerd/containerd.sock"))
    (granted,) = judge(box).granted
    assert granted.as_dict() == {
        "container": "web", "kind": "engine_socket", "finding": "container.engine_socket",
        "exposures": ["engine_socket:/run/docker.sock", "engine_socket:/run/containerd/containerd.sock"],
    }  # fmt: skip


def test_allowed_and_not_present_is_a_note() -> None:
    judged = judge(make_container("web"), allow={"web": ["device"], "away": ["device"]})
    assert judged.unused == [("web", "device")]
    lines = [
        text
        for text, unused in render_verification("h", make_verification("h", containers=[make_container("web")])["verification"], judged)
    ]
    assert any(line.startswith("  i web: device is allowed (allow_exposures) and not present") for line in lines)


OVERLAP, OFF = make_finding("userns.overlap", status="degraded"), make_finding("userns.off")


@pytest.mark.parametrize(
    ("layer", "waiver", "waived"),
    [
        (make_layer("userns", "degraded", findings=[OVERLAP]), make_waiver("userns.overlap"), True),
        (make_layer("userns", "degraded", findings=[OVERLAP]), make_waiver("CIS-2.10"), True),
        (make_layer("userns", "absent", findings=[OVERLAP, OFF]), make_waiver("userns.overlap"), False),
        (make_layer("userns", "absent", findings=[OVERLAP, OFF]), make_waiver("CIS-2.10"), True),
        (make_layer("userns", "degraded", findings=[OVERLAP]), make_waiver("userns.overlap", container="*"), False),
        (make_layer("userns", "degraded", findings=[OVERLAP]), make_waiver("userns.overlap", host="db*"), False),
        (make_layer("userns", "degraded", findings=[OVERLAP]), make_waiver("userns.overlap", until="2020-01-01"), False),
        (
            make_layer("userns", "degraded", findings=[OVERLAP, make_finding("userns.note", status=None)]),
            make_waiver("userns.overlap"),
            True,
        ),
        (make_layer("userns", "unknown", findings=[make_finding("userns.unread", status="unknown")]), make_waiver("CIS-2.10"), False),
        (make_layer("userns", "unknown", findings=[make_finding("userns.unread", status="unknown")]), make_waiver("userns.unread"), True),
        (make_layer("userns", "not_applicable"), make_waiver("userns.not_applicable"), True),
        (make_layer("userns", "absent"), make_waiver("userns.not_applicable"), False),
        (make_layer("userns", "enforced"), make_waiver("CIS-2.10"), False),
    ],
)
def test_a_requirement_is_waived_with_all_its_findings(layer: dict[str, Any], waiver: dict[str, str], waived: bool) -> None:
    judged = judge(layers=[layer, make_layer("seccomp")], waivers=[waiver])
    assert judged.waived_layers == ({"userns"} if waived else set())
    verification = make_verification("web1", layer, make_layer("seccomp"))["verification"]
    accepted = waived or layer["status"] == "enforced"
    assert list_unenforced(verification, judgement=judged) == ([] if accepted else [f"userns ({layer['status']})"])
    report = single.build_report("web1", verification, False, policy=policy.load_policy(make_policy(waiver)), today=TODAY)
    assert (report["problem"] == "") is accepted
    assert report["enforced"] is (layer["status"] == "enforced"), "the evidence is unchanged"
    assert report["waived_layers"] == (["userns"] if waived else [])


def test_settings_of_a_container_can_be_waived() -> None:
    setting = {"setting": "memory", "status": "absent", "expected": 1, "seen": None, "source": "memory.max"}
    box = make_container("db", settings=[setting])
    verification = make_verification("web1", containers=[box])["verification"]
    assert list_unenforced(verification, judgement=judge(box)) == ["container db: memory (absent)"]
    assert list_unenforced(verification, judgement=judge(box, waivers=[make_waiver("demand.memory", container="db")])) == []


def test_a_container_that_does_not_run_can_be_waived() -> None:
    finding = make_finding("container.not_running", "container web of hardened_container_list does not run", "unknown")
    judged = judge(findings=[finding], waivers=[make_waiver("container.not_running")])
    verification = {**make_verification("web1")["verification"], "findings": [finding]}
    assert list_unenforced(verification) == [finding["text"]]
    assert list_unenforced(verification, judgement=judged) == []


def test_exposed_containers_are_no_problem_of_the_host() -> None:
    verification = make_verification("web1", containers=[make_exposed("web", "engine_socket", "host_pid"), make_exposed("db")])[
        "verification"
    ]
    report = single.build_report("web1", verification, False)
    assert (report["problem"], report["enforced"]) == ("", True)
    text = single.describe_exposed("web1", report)
    assert text == "containers exposed on web1: web (engine_socket, host_pid), db (engine_socket)"
    result = {"problem": "", "not_enforced": [], "exposed_problem": text, "report": "verify-web1.json"}
    assert single.describe_problem(result) == f"{text}; evidence in verify-web1.json"
    assert single.describe_problem(result, exposures=False) == ""


def test_a_verified_host_can_have_exposed_containers() -> None:
    found = fleet.judge_fleet(Reports({"h": make_verification("h", containers=[make_exposed("web")])}), None, NOW, 2 * DAY)
    assert [(host.condition, host.judgement and host.judgement.exposed_containers) for host in found.hosts] == [("verified", ["web"])]
    old = fleet.judge_fleet(Reports({"h": make_verification("h", containers=[make_exposed("web")], ago=9 * DAY)}), None, NOW, 2 * DAY)
    assert old.exposed_hosts == []


def test_a_disabled_layer_is_no_finding_of_a_container() -> None:
    own = [make_layer("userns", "absent", findings=[OFF]), make_layer("seccomp", "absent", findings=[make_finding("seccomp.off")])]
    box = make_container("web", layers=own, opted_out=["userns"], disagreements=["userns: they differ", "seccomp: they differ"])
    layers = [make_layer("userns", "absent", "disabled"), make_layer("seccomp")]
    report = make_verification("h", *layers, containers=[box])
    (kept,) = fleet.judge_fleet(Reports({"h": report}), None, NOW, 2 * DAY).hosts[0].containers
    assert (kept["opted_out"], [layer["layer"] for layer in kept["layers"]]) == ([], ["seccomp"])
    assert kept["notes"] == ["seccomp: they differ", "it is wrong"]
    lines = "\n".join(text for text, unused in render_verification("h", report["verification"]))
    assert "opted out" not in lines and "userns: they differ" not in lines


def test_the_same_on_many_containers_is_one_line() -> None:
    boxes = []
    for number in range(8):
        finding = make_finding("pids_limit.above_default", f"container web{number}: above the default")
        own = make_layer("pids_limit", "absent", findings=[finding])
        boxes.append(make_exposed(f"web{number}", "host_uts", layers=[own], opted_out=["userns"]))
    verification = make_verification("h", containers=boxes)["verification"]
    judged = policy.judge_policy("h", verification, policy.Policy(), TODAY)
    lines = [text for text, unused in render_verification("h", verification, judged)]
    names = "web0, web1, web2, web3, web4 and 3 more"
    assert f"  ! host_uts: {names}: its processes share the host's name" in lines
    assert f"  ! {names}: opted out of userns" in lines
    assert f"  ! {names}: pids_limit.above_default, such as: container web0: above the default" in lines
    assert not [line for line in lines if "web5" in line]


def test_waived_findings_stay_visible_in_the_table() -> None:
    layers = [make_layer("userns", "degraded", findings=[OVERLAP]), make_layer("seccomp")]
    waivers = [make_waiver(), make_waiver("userns.overlap")]
    verification = make_verification("web1", *layers, containers=[make_exposed("web")])["verification"]
    judged = policy.judge_policy("web1", verification, policy.load_policy(make_policy(*waivers)), TODAY)
    lines = [text for text, unused in render_verification("web1", verification, judged)]
    assert "      ~ waived until 2099-12-31: it is needed" in lines
    assert any(line.startswith("  ~ engine_socket, waived until 2099-12-31: it is needed: web: ") for line in lines)


@pytest.mark.parametrize(
    "content",
    ["text", {}, {"forbid": [], "waivers": []}, {"forbid": "x", "waivers": [], "allow": {}}, {"forbid": [1], "waivers": [], "allow": {}},
     {"forbid": [], "waivers": [], "allow": {"web": "x"}}, {"forbid": [], "allow": {}}],
)  # fmt: skip
def test_the_policy_of_a_report_is_checked(content: Any) -> None:
    with pytest.raises(ValueError, match="polic"):
        policy.load_policy(content)
