# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import verification_table
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import WIDTH


def make_layer(name: str, status: str, requirement: str = "required", **more: Any) -> dict[str, Any]:
    return {"layer": name, "status": status, "requirement": requirement, "evidence": [], "findings": [], **more}


@pytest.mark.parametrize(
    ("status", "requirement", "accept_unknown", "expected"),
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
def test_what_is_required_must_be_enforced(status: str, requirement: str, accept_unknown: bool, expected: list[str]) -> None:
    assert verification_table.list_unenforced({"layers": [make_layer("x", status, requirement)]}, accept_unknown) == expected


def test_no_line_is_wider_than_the_table() -> None:
    finding = {"id": "userns.off", "text": "word " * 60, "status": "degraded", "remedy": "do " * 60}
    evidence = [{"source": "/proc/1/uid_map", "value": [[0, 231072, 65536]]}]
    container = {"name": "web", "opted_out": ["userns"], "disagreements": ["long " * 50], "findings": [], "layers": []}
    verification = {
        "host": {},
        "layers": [make_layer("userns", "degraded", evidence=evidence, findings=[finding])],
        "containers": [container],
    }
    lines = verification_table.render_verification("h", verification)
    assert max(len(text) for text, unused in lines) <= WIDTH
    assert any("0 231072 65536  <- /proc/1/uid_map" in text for text, unused in lines)
    assert any("opted out of userns" in text for text, unused in lines)


def test_the_peak_and_reached_limits_are_shown() -> None:
    base = {"opted_out": [], "disagreements": [], "findings": [], "layers": []}
    settings = [{"setting": "pids_limit", "status": "enforced", "seen": 100, "source": "pids.max"}]
    usage = {"pids": {"max": 100, "current": 3, "peak": 12}}
    finding = {
        "id": "container.pids_limit_reached",
        "text": "container db reached its PIDs limit of 512 61 times",
        "status": None,
        "remedy": "",
    }
    containers = [
        {"name": "shop", **base, "settings": settings, "usage": usage},
        {"name": "db", **base, "findings": [{**finding, "exposures": []}]},
    ]
    verification = {"host": {}, "layers": [], "containers": containers}
    lines = [text for text, unused in verification_table.render_verification("h", verification)]
    assert "  + shop: all 1 settings of hardened_container are enforced; peak 12 of 100 tasks" in lines
    assert "  i db: container db reached its PIDs limit of 512 61 times" in lines
    assert verification_table.list_unenforced(verification) == []


def test_every_status_has_its_own_sign() -> None:
    assert len(set(verification_table.SIGN.values())) == len(verification_table.SIGN) == len(verification_table._COLOUR)


def test_findings_of_an_opted_out_layer_are_not_repeated() -> None:
    finding = {"id": "userns.off", "text": "userns is off", "status": "absent"}
    container = {
        "name": "web",
        "opted_out": ["userns"],
        "disagreements": [],
        "findings": [],
        "layers": [make_layer("userns", "absent", findings=[finding])],
    }
    assert verification_table.list_container_notes(container) == ["opted out of userns"]


def test_a_version_that_was_never_tried_is_a_notice() -> None:
    lines = verification_table.render_verification(
        "h", {"layers": [], "untried": ["Linux 5.15 is older than 6.1, the oldest that was tried"]}
    )
    assert ("  i Linux 5.15 is older than 6.1, the oldest that was tried", None) in lines
