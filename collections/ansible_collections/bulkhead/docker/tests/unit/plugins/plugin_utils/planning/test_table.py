# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.lines import WIDTH
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import table


def layer(name: str, status: str, requirement: str = "required", **more: Any) -> dict[str, Any]:
    return {"layer": name, "status": status, "requirement": requirement, "evidence": [], "findings": [], **more}


@pytest.mark.parametrize(
    ("status", "requirement", "forgiven", "expected"),
    [
        ("enforced", "required", False, []),
        ("degraded", "required", False, ["x (degraded)"]),
        ("absent", "required", False, ["x (absent)"]),
        ("unknown", "required", False, ["x (unknown)"]),
        ("unknown", "required", True, []),
        ("absent", "required", True, ["x (absent)"]),
        ("not_applicable", "required", False, ["x (not_applicable)"]),
        ("absent", "optional", False, []),
        ("absent", "disabled", False, []),
    ],
)
def test_what_is_required_must_be_enforced(status: str, requirement: str, forgiven: bool, expected: list[str]) -> None:
    assert table.not_enforced({"layers": [layer("x", status, requirement)]}, forgiven) == expected


def test_no_line_is_wider_than_the_table() -> None:
    finding = {"text": "word " * 60, "status": "degraded", "remedy": "do " * 60}
    evidence = [{"source": "/proc/1/uid_map", "value": [[0, 231072, 65536]]}]
    container = {"name": "web", "opted_out": ["userns"], "disagreements": ["long " * 50], "findings": [], "layers": []}
    verification = {"host": {}, "layers": [layer("userns", "degraded", evidence=evidence, findings=[finding])], "containers": [container]}
    lines = table.verification_lines("h", verification)
    assert max(len(text) for text, unused in lines) <= WIDTH
    assert any("0 231072 65536  <- /proc/1/uid_map" in text for text, unused in lines)
    assert any("opted out of userns" in text for text, unused in lines)


def test_every_status_has_a_sign_of_its_own() -> None:
    assert len(set(table.SIGN.values())) == len(table.SIGN) == len(table._COLOUR)


def test_a_finding_about_a_layer_that_was_opted_out_of_is_not_said_twice() -> None:
    finding = {"text": "userns is off", "status": "absent"}
    container = {
        "name": "web",
        "opted_out": ["userns"],
        "disagreements": [],
        "findings": [],
        "layers": [layer("userns", "absent", findings=[finding])],
    }
    assert table.container_notes(container) == ["opted out of userns"]


def test_the_plan_says_what_happens_and_why_not() -> None:
    base = {"requirement": "required", "applicable": True, "changes": [], "reason": "", "with_engine": ""}
    plan = {
        "layers": {
            "seccomp": {**base, "changes": [{"summary": "install web.json"}]},
            "apparmor": {**base, "applicable": False, "reason": "no AppArmor"},
            "userns": base,
            "no_new_privileges": {**base, "with_engine": "set no-new-privileges"},
            "pids_limit": {**base, "requirement": "disabled"},
        },
        "effects": ["the engine restarts"],
        "warnings": [],
        "notices": [],
        "blockers": [],
    }
    text = "\n".join(line for line, unused in table.plan_lines("h", plan))
    for expected in (
        "install web.json",
        "not applicable: no AppArmor",
        "as desired",
        "disabled",
        "set no-new-privileges",
        "> the engine restarts",
    ):
        assert expected in text
