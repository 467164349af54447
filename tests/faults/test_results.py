# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a loss, and how it is told."""

from __future__ import annotations

from typing import Any

from faults import markers, table
from faults.cases import CASES

BEFORE: dict[str, Any] = {
    "engine": True,
    "images": {"i:latest": "sha256:1"},
    "volumes": {"v": {"Labels": {"a": "b"}, "files": {"f": {"sha256": "1", "owner": [0, 0]}}}},
    "containers": {"c": {"id": "1", "running": True}},
    "networks": {"n": {"id": "2"}},
}


def changed(**parts: Any) -> dict[str, Any]:
    return {**BEFORE, **parts}


def test_nothing_is_lost() -> None:
    assert markers.lost(BEFORE, BEFORE, frozenset("c")) == []


def test_each_kind_of_loss_is_named() -> None:
    everyone = frozenset("c")
    cases = {
        "images i:latest is gone": changed(images={}),
        "volumes v files/f/sha256: was 1, is 2": changed(
            volumes={"v": {"Labels": {"a": "b"}, "files": {"f": {"sha256": "2", "owner": [0, 0]}}}}
        ),
        "container c does not run": changed(containers={"c": {"id": "1", "running": False}}),
        "networks n id: was 2, is 3": changed(networks={"n": {"id": "3"}}),
    }
    for sentence, after in cases.items():
        assert markers.lost(BEFORE, after, everyone) == [sentence]
    assert markers.lost(BEFORE, changed(containers={"c": {"id": "1", "running": False}}), frozenset()) == []
    assert "does not answer" in markers.lost(BEFORE, {"engine": False, "error": "no"}, everyone)[0]


def test_the_table_counts_what_was_tried() -> None:
    tries = [{"case": "power-cut", "suite": "trixie", "lost": lost} for lost in ([], [], ["volume v is gone"])]
    assert table.markdown(tries).splitlines()[2:] == ["| power cut in a converge (`power-cut`) | trixie | 3 | 2 | volume v is gone |"]


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
