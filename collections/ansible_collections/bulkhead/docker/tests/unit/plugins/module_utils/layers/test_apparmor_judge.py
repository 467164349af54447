# SPDX-License-Identifier: GPL-3.0-or-later
"""Judgement of AppArmor by labels, modes and hashes. A test makes each check fail."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.labels import parse_label
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.apparmor.judge import judge, judge_container, list_part_modes
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Verdict

from ...builders import build_container, build_evidence

DESIRED = {"name": "web", "path": "/etc/apparmor.d/web", "mode": "enforce", "sha256": "a"}
SOURCE = "/sys/kernel/security/apparmor/policy/profiles/web.3/raw_sha256"
VERIFIED = {
    "sha256": "a",
    "mode": "enforce",
    "hash": "sha256:1",
    "source": SOURCE,
    "children": {},
    "links": [],
    "agrees": True,
    "error": None,
}


def evidence(label: Any = "docker-default (enforce)", web: Any = None, **more: Any) -> dict[str, Any]:
    observed = {"layers": {"apparmor": {"enabled": True, "at_boot": True}}}
    own = {"apparmor": {"profiles": {"web": {**VERIFIED, **(web or {})}}, "error": None}}
    return build_evidence(observed, build_container({"pid": 5, "label": label}, name="probe"), **{"layer_evidence": own, **more})


def expect(requirement: str = "required", **more: Any) -> dict[str, Any]:
    return {"requirement": requirement, "profiles": [{**DESIRED, **more}]}


def findings(verdict: Verdict) -> list[tuple[str, str | None]]:
    return [(finding.id, finding.status) for finding in verdict.findings]


def test_all_good() -> None:
    verdict = judge(evidence(), expect())
    assert (verdict.status, verdict.findings) == ("enforced", [])
    assert {"source": "/proc/5/attr/current", "value": "docker-default (enforce)"} in verdict.evidence
    assert {"source": SOURCE, "value": "sha256:1"} in verdict.evidence
    assert {"source": "apparmor_parser -S -K -T /etc/apparmor.d/web | sha256sum", "value": "sha256:1"} in verdict.evidence


def test_recording_is_no_fault() -> None:
    seen = evidence(web={"original": "sha256:0"})
    seen["observed"]["layers"]["apparmor"]["recording"] = ["docker-default", "web"]
    verdict = judge(seen, expect())
    assert (verdict.status, findings(verdict)) == ("enforced", [("apparmor.recording", None)])
    assert "docker-default, web" in verdict.findings[0].text
    assert {"source": SOURCE, "value": "sha256:1"} in verdict.evidence
    assert {"source": "apparmor_parser -S -K -T /etc/apparmor.d/web | sha256sum", "value": "sha256:0"} in verdict.evidence


@pytest.mark.parametrize(
    ("label", "status", "finding"),
    [
        ("docker-default (complain)", "degraded", "apparmor.complain"),
        ("a//&b (mixed)", "degraded", "apparmor.complain"),
        ("unconfined", "absent", "apparmor.unconfined"),
        ("runc (unconfined)", "absent", "apparmor.unconfined"),
        ("runc (-)", "absent", "apparmor.unconfined"),
        (":ns:unconfined", "absent", "apparmor.unconfined"),
        ("web (user)", "degraded", "apparmor.user_mode"),
        (None, "unknown", "apparmor.label_unreadable"),
        ("odd", "unknown", "apparmor.label_unreadable"),
    ],
)
def test_probe(label: Any, status: str, finding: str) -> None:
    verdict = judge(evidence(label), expect())
    assert (verdict.status, findings(verdict)) == (status, [(finding, status)])


def test_without_a_probe() -> None:
    verdict = judge({**evidence(), "probe": None}, expect())
    assert (verdict.status, findings(verdict)) == ("unknown", [("apparmor.no_probe", "unknown")])


@pytest.mark.parametrize(
    ("web", "finding"),
    [
        ({"mode": None, "hash": None, "source": None, "agrees": None}, ("apparmor.not_loaded", "degraded")),
        ({"mode": "complain"}, ("apparmor.mode", "degraded")),
        ({"children": {"web//sub": "complain"}}, ("apparmor.mode", "degraded")),
        ({"agrees": False}, ("apparmor.policy_differs", "degraded")),
        ({"sha256": "b"}, ("apparmor.file_differs", "degraded")),
        ({"sha256": None, "agrees": None}, ("apparmor.file_missing", "degraded")),
        ({"links": ["disable"]}, ("apparmor.disabled", "degraded")),
        ({"links": ["force-complain"]}, ("apparmor.mode_at_boot", "degraded")),
        ({"agrees": None, "error": "no parser"}, ("apparmor.policy_unknown", "unknown")),
        ({"hash": None, "agrees": None, "error": "no hash"}, ("apparmor.policy_unknown", "unknown")),
    ],
)
def test_profiles(web: dict[str, Any], finding: tuple[str, str]) -> None:
    verdict = judge(evidence(web=web), expect())
    assert (verdict.status, findings(verdict)) == (finding[1], [finding])
    assert "web" in verdict.findings[0].text


def test_kill_mode_is_stricter_than_enforce() -> None:
    verdict = judge(evidence("web (kill)", {"mode": "kill", "children": {"web//sub": "kill", "web//other": "enforce"}}), expect())
    assert (verdict.status, findings(verdict)) == ("enforced", [])
    assert judge(evidence(web={"mode": "kill"}), expect(mode="complain")).status == "degraded"


def test_complain_mode_if_desired() -> None:
    verdict = judge(evidence(web={"mode": "complain", "links": ["force-complain"]}), expect(mode="complain"))
    assert verdict.status == "enforced"
    verdict = judge(evidence(web={"mode": "complain"}), expect(mode="complain"))
    assert findings(verdict) == [("apparmor.mode_at_boot", "degraded")]


@pytest.mark.parametrize("layer_evidence", [{}, {"apparmor": {"profiles": {}, "error": "the kernel's policy cannot be read: no"}}])
def test_without_evidence(layer_evidence: dict[str, Any]) -> None:
    verdict = judge(evidence(layer_evidence=layer_evidence), expect())
    assert (verdict.status, findings(verdict)) == ("unknown", [("apparmor.policy_unreadable", "unknown")])


def test_boot_that_loads_nothing() -> None:
    seen = evidence()
    seen["observed"]["layers"]["apparmor"]["at_boot"] = False
    assert findings(judge(seen, expect())) == [("apparmor.not_at_boot", "degraded")]


@pytest.mark.parametrize(("requirement", "status"), [("required", "absent"), ("optional", "not_applicable"), ("disabled", "absent")])
def test_kernel_without_apparmor(requirement: str, status: str) -> None:
    seen = evidence(None)
    seen["observed"]["layers"]["apparmor"]["enabled"] = False
    assert judge(seen, expect(requirement)).status == status
    assert judge_container(container(None), seen, expect(requirement)).status == status


def test_without_expectation() -> None:
    assert judge(evidence(), {}).status == "enforced"


def container(
    label: Any, word: str | None = "docker-default", options: list[str] | None = None, privileged: bool = False
) -> dict[str, Any]:
    config = {"SecurityOpt": options, "Privileged": privileged}
    return build_container({"pid": 9, "label": label}, name="shop", host_config=config, inspect={"AppArmorProfile": word})


@pytest.mark.parametrize(
    ("seen", "status", "ids", "opted_out", "disagreements"),
    [
        (container("docker-default (enforce)"), "enforced", [], False, 0),
        (container("web (enforce)", "web", ["apparmor=web"]), "enforced", [], False, 0),
        (container("web (enforce)", "web", ["apparmor:web", "no-new-privileges"]), "enforced", [], False, 0),
        (container("web (enforce)", "web", ["apparmor=web"], privileged=True), "enforced", [], False, 0),
        (container("web//&docker-default (enforce)", "web", ["apparmor=web"]), "enforced", [], False, 0),
        (container("web (complain)", "web", ["apparmor=web"]), "degraded", ["apparmor.complain"], False, 0),
        (container("unconfined", "unconfined", None, privileged=True), "absent", ["apparmor.opted_out"], True, 0),
        (container("runc (unconfined)", "unconfined", ["apparmor=unconfined"]), "absent", ["apparmor.opted_out"], True, 0),
        (container("unconfined", ""), "absent", ["apparmor.unconfined"], False, 0),
        # the profile was unloaded while the container ran
        (container("unconfined", "docker-default"), "absent", ["apparmor.unconfined"], False, 1),
        # a rootless engine ignores the option but still reports it
        (container("runc (unconfined)", "", ["apparmor=web"]), "absent", ["apparmor.unconfined"], False, 1),
        (container("web (enforce)", "docker-default"), "enforced", [], False, 1),
        (container("docker-default (enforce)", "web", ["apparmor=web"]), "degraded", ["apparmor.other_profile"], False, 2),
        (container("docker-default (enforce)", "unconfined", ["apparmor=unconfined"]), "enforced", [], True, 2),
        (container(None), "unknown", ["apparmor.label_unreadable"], False, 0),
    ],
)
def test_containers(seen: dict[str, Any], status: str, ids: list[str], opted_out: bool, disagreements: int) -> None:
    verdict = judge_container(seen, evidence(), expect())
    assert (verdict.status, [finding.id for finding in verdict.findings]) == (status, ids)
    assert (verdict.opted_out, len(verdict.disagreements)) == (opted_out, disagreements)


def test_unreadable_label_says_why() -> None:
    seen = container(None)
    seen["kernel"]["unreadable"] = {"/proc/9/attr/current": "Permission denied"}
    assert "Permission denied" in judge_container(seen, evidence(), expect()).findings[0].text


MODES = {"a": "enforce", "b": "complain", "c": "user", ":ns:d": "enforce", "runc": "unconfined"}


@pytest.mark.parametrize(
    ("label", "status", "ids", "named"),
    [
        ("a//&b (mixed)", "enforced", ["apparmor.mixed"], "a (enforce), b (complain)"),
        ("b//&a (mixed)", "enforced", ["apparmor.mixed"], "b (complain), a (enforce)"),
        ("b//&:ns:d (mixed)", "enforced", ["apparmor.mixed"], ":ns:d (enforce)"),
        ("a//&runc (mixed)", "enforced", ["apparmor.mixed"], "runc (unconfined)"),
        ("b//&c (mixed)", "degraded", ["apparmor.complain"], "b (complain), c (user)"),
        ("b//&gone (mixed)", "degraded", ["apparmor.complain"], "gone (unknown)"),
        ("b (complain)//&a (enforce)", "enforced", ["apparmor.mixed"], "b (complain), a (enforce)"),
        ("a//&:ns:unconfined (enforce)", "enforced", [], ""),
        ("a//&d (kill)", "enforced", [], ""),
    ],
)
def test_stacks(label: str, status: str, ids: list[str], named: str) -> None:
    seen = evidence(label)
    seen["observed"]["layers"]["apparmor"]["modes"] = MODES
    verdict = judge_container(container(label, None), seen, expect())
    assert (verdict.status, [finding.id for finding in verdict.findings]) == (status, ids)
    assert all(named in finding.text for finding in verdict.findings)
    assert judge(seen, expect()).status == status


@pytest.mark.parametrize(
    ("value", "error", "status", "finding"),
    [
        ("enforce", None, "enforced", None),
        ("kill", None, "enforced", None),
        (None, None, "enforced", None),  # the kernel has no such parameter
        ("complain", None, "degraded", "apparmor.global_mode"),
        ("unconfined", None, "degraded", "apparmor.global_mode"),
        ("user", None, "degraded", "apparmor.global_mode"),
        (None, "Permission denied", "unknown", "apparmor.global_mode_unread"),
    ],
)
def test_global_mode_of_the_kernel(value: str | None, error: str | None, status: str, finding: str | None) -> None:
    seen = evidence()
    seen["observed"]["layers"]["apparmor"]["global_mode"] = {"value": value, "error": error}
    for verdict in (judge(seen, expect()), judge_container(container("docker-default (enforce)"), seen, expect())):
        assert (verdict.status, findings(verdict)) == (status, [(finding, status)] if finding else [])
        shown = [entry["value"] for entry in verdict.evidence if entry["source"] == "/sys/module/apparmor/parameters/mode"]
        assert shown == ([value] if value else [])


@pytest.mark.parametrize(("label", "status"), [("docker-default (enforce)", "unknown"), ("unconfined", "absent")])
def test_securityfs_that_is_not_mounted(label: str, status: str) -> None:
    seen = evidence(label, layer_evidence={"apparmor": {"profiles": {}, "error": "securityfs is not mounted"}})
    seen["observed"]["layers"]["apparmor"]["securityfs"] = False
    verdict = judge(seen, expect())
    assert verdict.status == status
    (finding,) = [finding for finding in verdict.findings if finding.id == "apparmor.securityfs"]
    assert (finding.status, finding.remedy) == ("unknown", "mount -t securityfs securityfs /sys/kernel/security")
    assert judge_container(container("docker-default (enforce)"), seen, expect()).status == "enforced", "labels are in /proc"


def test_every_process_of_a_container_counts() -> None:
    seen = container("docker-default (enforce)")
    other = {"pid": 77, "command": "sh", "label": "unconfined", "unreadable": {}}
    thread = {"pid": 9, "tid": 12, "command": "app", "label": "docker-default (complain)", "unreadable": {}}
    verdict = judge_container({**seen, "states": [seen["kernel"], other, thread]}, evidence(), expect())
    assert [(finding.id, finding.status) for finding in verdict.findings] == [
        ("apparmor.unconfined", "absent"),
        ("apparmor.complain", "degraded"),
    ]
    assert "process 77 (sh) of container shop is confined by no" in verdict.findings[0].text
    assert "thread 12 of process 9 (app) of container shop" in verdict.findings[1].text
    assert {"source": "/proc/9/task/12/attr/current", "value": "docker-default (complain)"} in verdict.evidence
    assert (verdict.status, verdict.disagreements) == ("absent", [])


def test_unreadable_label_of_a_thread_says_why() -> None:
    seen = container("docker-default (enforce)")
    thread = {"pid": 9, "tid": 12, "label": None, "unreadable": {"/proc/9/attr/current": "Permission denied"}}
    verdict = judge_container({**seen, "states": [seen["kernel"], thread]}, evidence(), expect())
    assert (verdict.status, "Permission denied" in verdict.findings[0].text) == ("unknown", True)


@pytest.mark.parametrize(
    ("text", "modes", "parts"),
    [
        ("a//&b (enforce)", {}, [("a", "enforce"), ("b", "enforce")]),
        ("a//&:ns:unconfined (kill)", {}, [("a", "kill"), (":ns:unconfined", "unconfined")]),
        ("a//&b (mixed)", {"a": "enforce", "b": "complain"}, [("a", "enforce"), ("b", "complain")]),
        ("a//&b (mixed)", {"a": "complain"}, [("a", "complain"), ("b", "unknown")]),
        ("a (enforce)//&b (complain)", {"b": "enforce"}, [("a", "enforce"), ("b", "complain")]),
        (
            "a//&:ns:b//&c (mixed)",
            {"a": "complain", ":ns:b": "enforce", ":ns:c": "user"},
            [("a", "complain"), (":ns:b", "enforce"), ("c", "user")],
        ),
        # c may be a profile of the namespace or of the root: its mode is not known
        ("a//&:ns:b//&c (mixed)", {":ns:c": "enforce", "c": "complain"}, [("a", "unknown"), (":ns:b", "unknown"), ("c", "unknown")]),
    ],
)
def test_modes_of_the_parts_of_a_label(text: str, modes: dict[str, str], parts: list[tuple[str, str]]) -> None:
    assert list_part_modes(parse_label(text), modes) == parts
