# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls 1.1.3 to 1.1.18 by the kernel's audit rules, also where layer audit_rules is disabled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls import catalog
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.host import judge_audited
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.verdict import ControlOutcome, Facts, MissingFact

from ...builders import build_evidence
from ...module_utils.layers.audit_host import make_observed, managed, watch


def judge(number: str, rules: Sequence[bytes], **more: Any) -> ControlOutcome:
    return judge_audited(catalog.load_controls()[f"CIS-{number}"], Facts(build_evidence(make_observed(rules, **more)), {}))


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ([], "fail"),
        ([watch("/etc/docker", folder=True)], "pass"),
        ([watch("/etc/docker", folder=False)], "fail"),
        ([watch("/etc/docker/daemon.json")], "pass"),
        ([watch("/etc/docker/daemon.json", permissions=2)], "fail"),
        ([watch("/etc/docker/daemon.json", permissions=2), watch("/etc/docker", folder=True, permissions=8)], "pass"),
        ([watch("/etc/docker/daemon.json", extra=[(9, 1000)])], "fail"),
        ([watch("/etc/dock", folder=True)], "fail"),
    ],
)
def test_audit_rules_cover_a_path(rules: list[bytes], status: str) -> None:
    assert judge("1.1.11", rules).status == status


def test_each_control_passes_with_the_rules_of_the_layer() -> None:
    found = {number: judge(f"1.1.{number}", managed()).status for number in range(3, 19)}
    absent = {9, 10, 12, 13, 15, 16}  # docker.socket, environment files, config.toml, and two programs
    assert found == {number: "not_applicable" if number in absent else "pass" for number in range(3, 19)}


def test_rules_without_effect_do_not_pass() -> None:
    outcome = judge("1.1.3", managed(), enabled=0)
    assert outcome.status == "fail" and "audit is off" in outcome.reason


def test_what_is_not_known_is_a_missing_fact() -> None:
    with pytest.raises(MissingFact, match="Operation not permitted"):
        judge("1.1.3", [], error="Operation not permitted")
    with pytest.raises(MissingFact, match="were not read"):
        judge_audited(catalog.load_controls()["CIS-1.1.3"], Facts(build_evidence({"layers": {}}), {}))
