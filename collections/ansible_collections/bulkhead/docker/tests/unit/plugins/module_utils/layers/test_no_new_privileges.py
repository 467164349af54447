# SPDX-License-Identifier: GPL-3.0-or-later
"""no-new-privileges: planned as a key, judged by NoNewPrivs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.no_new_privileges.judge import judge, judge_container, parse_option
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.no_new_privileges.plan import plan

from ...builders import build_container, build_evidence

EXPECT = {"requirement": "required", "no_new_privs": True}


@pytest.mark.parametrize(
    ("version", "switch", "keys", "blocked"),
    [
        ("26.1.5", "required", {"no-new-privileges": True}, False),
        ("17.06.2-ce", "required", {"no-new-privileges": True}, False),
        ("17.03.0", "required", {}, True),
        ("17.03.0", "optional", {}, False),
        (None, "required", {"no-new-privileges": True}, False),
        ("26.1.5", "disabled", {}, False),
    ],
)
def test_plan(version: str | None, switch: str, keys: dict[str, Any], blocked: bool) -> None:
    result = plan({"engine": {"version": version}}, {"docker_daemon_no_new_privileges_layer": switch})
    assert (result.daemon_keys, bool(result.blockers)) == (keys, blocked)


def one(is_set: int | None, options: list[str] | None = None, name: str = "probe") -> dict[str, Any]:
    return build_container({} if is_set is None else {"no_new_privs": is_set}, name=name, host_config={"SecurityOpt": options})


def evidence(text: str | None, probe: dict[str, Any] | None, flags: dict[str, str] | None = None) -> dict[str, Any]:
    file = {"path": "/etc/docker/daemon.json", "text": text, "error": None}
    return build_evidence({"daemon_json": file, "unit": {"flags": flags or {}}}, probe)


ON = '{"no-new-privileges": true}'


@pytest.mark.parametrize(
    ("text", "is_set", "flags", "status", "finding"),
    [
        (ON, 1, {}, "enforced", None),
        (None, 1, {"no-new-privileges": "true"}, "enforced", None),
        (ON, 0, {}, "absent", "off"),
        ("{}", 0, {}, "absent", "off"),
        ("{}", 1, {}, "degraded", "not_written"),
        (None, 1, {}, "degraded", "not_written"),
        ('{"no-new-privileges": false}', 1, {}, "degraded", "not_written"),
        (ON, None, {}, "unknown", "unread"),
    ],
)
def test_judge(text: str | None, is_set: int | None, flags: dict[str, str], status: str, finding: str | None) -> None:
    verdict = judge(evidence(text, one(is_set), flags), EXPECT)
    assert verdict.status == status
    assert [f.id for f in verdict.findings] == ([f"no_new_privileges.{finding}"] if finding else [])


def test_engine_that_needs_a_restart_is_reported() -> None:
    (finding,) = judge(evidence(ON, one(0)), EXPECT).findings
    assert "was not restarted since" in finding.text and finding.remedy == "systemctl restart docker"


def test_no_probe_is_unknown() -> None:
    assert judge(evidence(ON, None), EXPECT).status == "unknown"


def test_disabled_layer_is_not_applicable() -> None:
    assert judge(evidence(None, one(0)), {"requirement": "disabled"}).status == "not_applicable"
    assert judge_container(one(0), {}, {"requirement": "disabled"}).status == "not_applicable"


@pytest.mark.parametrize(
    ("options", "is_set", "status", "disagrees", "opted_out"),
    [
        (None, 1, "enforced", False, False),
        ([], 0, "absent", False, False),
        (["no-new-privileges"], 1, "enforced", False, False),
        (["no-new-privileges"], 0, "absent", True, False),
        (["no-new-privileges=false"], 0, "absent", False, True),
        (["no-new-privileges:false"], 1, "enforced", True, True),
        (["seccomp=unconfined"], 1, "enforced", False, False),
        (None, None, "unknown", False, False),
    ],
)
def test_judge_container(options: list[str] | None, is_set: int | None, status: str, disagrees: bool, opted_out: bool) -> None:
    verdict = judge_container(one(is_set, options, "web"), {}, EXPECT)
    assert (verdict.status, bool(verdict.disagreements), verdict.opted_out) == (status, disagrees, opted_out)


@pytest.mark.parametrize(
    ("options", "requirement", "status", "ids"),
    [
        ([], "required", "absent", ["off"]),
        (["no-new-privileges"], "required", "absent", ["not_held", "off"]),
        (["no-new-privileges"], "disabled", "degraded", ["not_held"]),
        (["no-new-privileges=false"], "required", "absent", ["opted_out"]),
        ([], "disabled", "not_applicable", []),
    ],
)
def test_every_process_counts(options: list[str], requirement: str, status: str, ids: list[str]) -> None:
    seen = one(1, options, "web")
    other = {"pid": 77, "command": "sh", "no_new_privs": 0}
    verdict = judge_container({**seen, "states": [seen["kernel"], other]}, {}, {"requirement": requirement})
    assert (verdict.status, [finding.id.partition(".")[2] for finding in verdict.findings]) == (status, ids)
    assert all(finding.text.startswith("process 77 (sh) of container web") for finding in verdict.findings)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], None),
        (["apparmor=x"], None),
        (["no-new-privileges"], True),
        (["no-new-privileges=true"], True),
        (["no-new-privileges:1"], True),
        (["no-new-privileges", "no-new-privileges=false"], False),
    ],
)
def test_parse_option(options: list[str], expected: bool | None) -> None:
    assert parse_option(options) is expected


def test_a_container_without_the_default_has_to_be_created_again() -> None:
    found = judge_container(one(0, name="web"), evidence(ON, one(1)), {"requirement": "required"}).findings
    assert [(finding.id, "create it again" in finding.remedy) for finding in found] == [("no_new_privileges.off", True)]
