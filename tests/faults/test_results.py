# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a loss, and its message."""

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


def change_markers(**parts: Any) -> dict[str, Any]:
    return {**BEFORE, **parts}


def test_unchanged_markers_are_no_loss() -> None:
    assert markers.find_losses(BEFORE, BEFORE, frozenset("c")) == []


def test_each_kind_of_loss_has_a_message() -> None:
    running = frozenset("c")
    cases = {
        "images i:latest is missing": change_markers(images={}),
        "volumes v files/f/sha256: was 1, is 2": change_markers(
            volumes={"v": {"Labels": {"a": "b"}, "files": {"f": {"sha256": "2", "owner": [0, 0]}}}}
        ),
        "container c does not run": change_markers(containers={"c": {"id": "1", "running": False}}),
        "networks n id: was 2, is 3": change_markers(networks={"n": {"id": "3"}}),
    }
    for message, after in cases.items():
        assert markers.find_losses(BEFORE, after, running) == [message]
    assert markers.find_losses(BEFORE, change_markers(containers={"c": {"id": "1", "running": False}}), frozenset()) == []
    assert "does not answer" in markers.find_losses(BEFORE, {"engine": False, "error": "no"}, running)[0]


def test_images_may_get_other_ids_all_at_once() -> None:
    before = change_markers(images={"i:1": "old", "i:2": "old"}, containers={"c": {"image": "old"}})
    after = change_markers(images={"i:1": "new", "i:2": "new"}, containers={"c": {"image": "new"}})
    assert markers.find_losses(before, after, frozenset(), other_ids=True) == []
    assert len(markers.find_losses(before, after, frozenset())) == 3
    for images, image, message in (
        ({"i:1": "new", "i:2": "other"}, "new", "images i:2 is another one than before"),
        ({"i:1": "new", "i:2": "new"}, "old", "containers c image: was new, is old"),
        ({"i:1": "new"}, "new", "images i:2 is missing"),
    ):
        lost = change_markers(images=images, containers={"c": {"image": image}})
        assert message in markers.find_losses(before, lost, frozenset(), other_ids=True)


def test_the_table_counts_the_attempts() -> None:
    attempts = [{"case": "power-cut", "suite": "trixie", "lost": lost} for lost in ([], [], ["volume v is missing"])]
    assert table.render_table(attempts).splitlines()[2:] == [
        "| power cut in a converge (`power-cut`) | trixie | 3 | 2 | volume v is missing |"
    ]


def test_names_of_cases_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
