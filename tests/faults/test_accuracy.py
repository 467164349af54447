# SPDX-License-Identifier: GPL-3.0-or-later
"""Which statuses contradict the kernel."""

from __future__ import annotations

from typing import Any

import pytest

from faults import accuracy


def make_report(status: str) -> dict[str, Any]:
    return {"verification": {"layers": [{"layer": "seccomp", "status": status}, {"layer": "rootless", "status": "not_applicable"}]}}


@pytest.mark.parametrize(
    ("status", "is_enforced", "is_mismatch"),
    [
        ("enforced", True, False),
        ("enforced", False, True),
        ("absent", False, False),
        ("absent", True, True),
        ("degraded", True, False),
        ("degraded", False, False),
        ("unknown", True, False),
        ("enforced", None, True),
        ("unknown", None, False),
    ],
)
def test_a_status_is_compared_with_the_kernel(status: str, is_enforced: bool | None, is_mismatch: bool) -> None:
    assert bool(accuracy.find_mismatches(make_report(status), None if is_enforced is None else {"seccomp": is_enforced})) == is_mismatch


def test_the_engines_files_need_no_container() -> None:
    report = {"verification": {"layers": [{"layer": "files", "status": "enforced"}]}}
    assert accuracy.find_mismatches(report, None) == []


def test_a_layer_that_is_missing_in_the_report_is_a_mismatch() -> None:
    assert accuracy.find_mismatches({"verification": {"layers": []}}, {"seccomp": True}) == [
        "verification reports seccomp as missing, but the kernel enforces it"
    ]
