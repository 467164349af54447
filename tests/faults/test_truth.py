# SPDX-License-Identifier: GPL-3.0-or-later
"""When verification counts as a liar."""

from __future__ import annotations

from typing import Any

import pytest

from faults import truth


def report(status: str) -> dict[str, Any]:
    return {"proof": {"layers": [{"layer": "seccomp", "status": status}, {"layer": "rootless", "status": "not_applicable"}]}}


@pytest.mark.parametrize(
    ("said", "holds", "lie"),
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
def test_a_claim_against_the_kernel(said: str, holds: bool | None, lie: bool) -> None:
    assert bool(truth.lies(report(said), None if holds is None else {"seccomp": holds})) == lie


def test_a_report_that_does_not_speak_of_a_layer_is_none_of_it() -> None:
    assert truth.lies({"proof": {"layers": []}}, {"seccomp": True}) == ["verification calls seccomp nothing, and for the kernel it holds"]
