# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.audit_rules.judge import judge, judge_container
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.audit_rules.rules import (
    KINDS,
    format_rules,
    list_finding_controls,
    list_places,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Verdict

from ...builders import build_evidence
from .audit_host import PLACES, WATCHED, make_observed, managed, pack_rule, watch

SAVED = [format_rules(WATCHED), None]


def run(rules: Sequence[bytes], expect: dict[str, Any] | None = None, **more: Any) -> Verdict:
    observed = make_observed(rules, **{"texts": SAVED, **more})
    return judge(build_evidence(observed), {"requirement": "optional", "exclude": [], **(expect or {})})


def list_ids(verdict: Verdict) -> list[str]:
    return [finding.id.partition(".")[2] for finding in verdict.findings if finding.status]


def test_rules_in_the_kernel_are_enforced() -> None:
    verdict = run(managed())
    assert (verdict.status, verdict.findings) == ("enforced", [])
    assert verdict.evidence[:2] == [
        {"source": "auditctl -l", "value": "10 of 10 paths are watched"},
        {"source": "auditctl -s", "value": "on (enabled 1); auditd has PID 5"},
    ]
    assert {"source": "auditctl -l    # /usr/bin/runc", "value": ["/usr/sbin/runc wa bulkhead-docker"]} in verdict.evidence


@pytest.mark.parametrize("path", [path for path in WATCHED if not path.startswith(("/etc/docker/", "/run/containerd/"))])
def test_each_missing_rule_is_named(path: str) -> None:
    verdict = run(managed([other for other in WATCHED if not other.startswith(path)]))
    assert verdict.status == "degraded"
    assert any(path in finding.text and f"auditctl -w {path}" in finding.remedy for finding in verdict.findings)


def test_a_file_without_rules_in_the_kernel_is_absent() -> None:
    verdict = run([])
    assert (verdict.status, len(verdict.findings)) == ("absent", len(WATCHED))


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (watch("/usr/sbin/dockerd"), "enforced"),
        (watch("/usr/sbin/dockerd", permissions=15), "enforced"),
        (watch("/usr/sbin", folder=True), "enforced"),
        (watch("/usr/sbin/", folder=True), "enforced"),
        (watch("/usr/sbin", folder=False), "degraded"),
        (watch("/usr/sb", folder=True), "degraded"),
        (watch("/usr/sbin/dockerd", permissions=2), "degraded"),
        (watch("/usr/sbin/dockerd", permissions=5), "degraded"),
        (watch("/usr/sbin/dockerd", extra=[(9, 1000)]), "degraded"),
        (watch("/usr/sbin/dockerd", mask=1), "degraded"),
        (watch("/usr/sbin/dockerd", action=0), "degraded"),
        (watch("/usr/sbin/dockerd", filter=5), "degraded"),
    ],
)
def test_a_rule_of_others_counts_if_it_watches_all(rule: bytes, status: str) -> None:
    assert run([*managed([path for path in WATCHED if path != "/usr/sbin/dockerd"]), rule]).status == status


def test_permissions_that_are_missing_are_named() -> None:
    rules = managed([path for path in WATCHED if path != "/usr/sbin/dockerd"])
    (finding,) = run([*rules, watch("/usr/sbin/dockerd", permissions=2)]).findings
    assert finding.text == "the audit rule of /usr/sbin/dockerd (program of the engine) has permissions w, and w and a are needed"


def test_two_rules_can_watch_together() -> None:
    rules = managed(WATCHED[1:])
    assert run([*rules, watch("/usr/sbin/dockerd", permissions=2), watch("/usr/sbin/dockerd", permissions=8)]).status == "enforced"


def test_a_rule_about_a_folder_has_to_include_all_below() -> None:
    rules = managed([path for path in WATCHED if path != "/var/lib/docker"])
    assert list_ids(run([*rules, watch("/var/lib/docker")])) == ["data_root"]
    assert run([*rules, watch("/var", folder=True)]).status == "enforced"


@pytest.mark.parametrize(
    ("more", "finding", "status"),
    [
        ({"enabled": 0}, "off", "absent"),
        ({"enabled": 7}, "off", "unknown"),
        ({"receiver": 0}, "not_running", "degraded"),
        ({"installed": False}, "not_permanent", "degraded"),
        ({"texts": [None, None]}, "not_permanent", "degraded"),
        ({"texts": [format_rules(WATCHED[1:]), None]}, "not_permanent", "degraded"),
        ({"error": "Connection refused"}, "unread", "unknown"),
        ({"kernel": "YQ=="}, "unread", "unknown"),
    ],
)
def test_what_makes_rules_useless(more: dict[str, Any], finding: str, status: str) -> None:
    verdict = run(managed(), **more)
    assert (list_ids(verdict), verdict.status) == ([finding], status)


@pytest.mark.parametrize(
    ("more", "finding", "remedy"),
    [
        ({"installed": False, "receiver": 0}, "not_installed", "apt install auditd"),
        ({"receiver": 0, "enabled": 0}, "not_running", "systemctl enable --now auditd"),
    ],
)
def test_a_host_without_auditd_has_one_finding(more: dict[str, Any], finding: str, remedy: str) -> None:
    verdict = run([], texts=[None, None], **more)
    assert (list_ids(verdict), verdict.status) == ([finding], "absent")
    assert remedy in verdict.findings[0].remedy


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (pack_rule([], filter=1, action=0, mask=0), "degraded"),
        (pack_rule([(1, 33)], filter=1, action=0, mask=0), None),
        (pack_rule([(12, 1300)], filter=5), "degraded"),
        (pack_rule([(12, 1302)], filter=5, action=0), "degraded"),
        (pack_rule([(12, 1300), (1, 33)], filter=5), None),
        (pack_rule([(1, 33)], filter=5), None),
        (pack_rule([], action=0), "degraded"),
        (pack_rule([], action=0, mask=1), None),
        (watch("/var", folder=True, action=0), "degraded"),
        (watch("/var/lib/docker/volumes", folder=True, action=0), None),
    ],
)
def test_rules_that_suppress_records_are_named(rule: bytes, status: str | None) -> None:
    verdict = run([rule, *managed()])
    assert [(finding.id, finding.status) for finding in verdict.findings] == [("audit_rules.suppressed", status)]
    assert verdict.status == (status or "enforced")


def test_rules_that_suppress_nothing_of_the_engine() -> None:
    harmless = [pack_rule([(12, 1307)], filter=5), watch("/home", folder=True, action=0)]
    assert run([*harmless, *managed()]).findings == []
    assert run([*managed(), watch("/var", folder=True, action=0)]).findings == []  # the first rule that matches decides


def test_an_immutable_kernel_has_pending_rules() -> None:
    verdict = run(managed(WATCHED[1:]), enabled=2)
    (finding,) = verdict.findings
    assert (finding.id, verdict.status) == ("audit_rules.dockerd", "degraded")
    assert "is pending until the next boot" in finding.text and finding.remedy.startswith("reboot")
    (finding,) = run(managed(WATCHED[1:]), enabled=2, texts=[format_rules(WATCHED[1:]), None]).findings
    assert "pending" not in finding.text and finding.remedy.startswith("run harden.yml, then reboot")
    assert run(managed(), enabled=2).status == "enforced"


def test_an_excluded_path_is_only_reported() -> None:
    verdict = run(managed([path for path in WATCHED if path != "/var/lib/docker"]), {"exclude": ["/var/lib/docker"]})
    assert (verdict.status, [finding.id for finding in verdict.findings]) == ("enforced", ["audit_rules.excluded"])


def test_disabled_and_without_an_engine() -> None:
    for more in ({}, {"error": "no"}):
        assert run([], {"requirement": "disabled"}, **more).status == "not_applicable"
    observed = make_observed([], places={name: [path, None] for name, (path, unused) in PLACES.items()})
    observed["layers"]["files"]["files"] = {}
    assert judge(build_evidence(observed), {"requirement": "required"}).status == "not_applicable"
    assert judge_container({}, {}, {}).status == "not_applicable"


@pytest.mark.parametrize(
    ("path", "real", "rule", "status"),
    [
        ("/lib/systemd/system/dockerd", "/usr/lib/systemd/system/dockerd", "/lib/systemd/system/dockerd", "enforced"),
        ("/usr/bin/dockerd", "/opt/dockerd", "/usr/bin/dockerd", "degraded"),  # the kernel would watch the link
        ("/usr/bin/dockerd", "/opt/dockerd", "/opt/dockerd", "enforced"),
    ],
)
def test_a_rule_about_a_link_does_not_watch_its_target(path: str, real: str, rule: str, status: str) -> None:
    assert run([*managed(WATCHED[1:]), watch(rule)], places={**PLACES, "dockerd": [path, real]}).status == status


def test_a_user_cannot_have_any_folder_watched() -> None:
    user = {"user": "alice", "uid": 1000, "gid": 1000, "home": "/home/alice"}
    for real, is_fit in (("/home/alice/data", True), ("/srv", False), ("/home/alicette", False)):
        observed = make_observed(user=user, places={**PLACES, "data_root": ["/home/alice/data", real]})
        assert bool(list_places(observed)["data_root"].unfit) != is_fit
    verdict = judge(build_evidence(make_observed(managed(), user=user, texts=SAVED)), {"requirement": "optional"})
    assert "audit_rules.unfit" in {finding.id for finding in verdict.findings}


@pytest.mark.parametrize("real", ["/", "/a b", "/ä"])
def test_a_path_that_no_rule_can_watch_is_named(real: str) -> None:
    verdict = run(managed(), places={**PLACES, "data_root": [real, real]})
    assert (list_ids(verdict), verdict.status) == (["unfit"], "degraded")


def test_each_control_has_a_finding() -> None:
    found = [control for name in KINDS for control in list_finding_controls(name)]
    assert found == [f"CIS-1.1.{number}" for number in (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)]
    assert list_finding_controls("off") == []
