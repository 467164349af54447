# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import fleet
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.attack import MISSING, Matrix, matrix
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.read import Reports

from .samples import DAY, NOW, make_attack, make_verification

STOPPED = {"none": "succeeded", "seccomp": "blocked", "userns": "succeeded", "host": "blocked"}
THROUGH = {**STOPPED, "seccomp": "succeeded", "host": "succeeded"}


def of(*reports: dict[str, Any], known: tuple[str, ...] = ("a", "b", "c")) -> Matrix:
    reports_by_host = {report["host"]: report for report in reports}
    inventory = fleet.Inventory({name: set() for name in known}, known)
    return matrix(
        fleet.judge_fleet(Reports({name: make_verification(name) for name in reports_by_host}, reports_by_host), inventory, NOW, 2 * DAY)
    )


def test_one_word_where_all_hosts_agree_and_a_number_where_they_do_not() -> None:
    found = of(make_attack("a", {"bpf": STOPPED}), make_attack("b", {"bpf": THROUGH}))
    texts = {column["name"]: (cell["kind"], cell["text"]) for column, cell in zip(found.columns, found.rows[0]["cells"], strict=True)}
    assert list(texts) == ["none", "host", "seccomp", "userns"], "a host's own configuration stands beside the control"
    assert texts == {
        "none": ("not_applicable", "x through"),  # the control: nothing is wrong with that
        "seccomp": ("not_applicable", "! 1 of 2 stopped"),
        "userns": ("not_applicable", "x through"),
        "host": ("degraded", "! 1 of 2 stopped"),
    }
    assert [(host["name"], host["through"]) for host in found.hosts] == [("a", []), ("b", ["bpf"])]


def test_what_gets_through_a_hosts_own_configuration_is_not_played_down() -> None:
    assert of(make_attack("a", {"bpf": THROUGH})).rows[0]["cells"][1] == {"kind": "absent", "text": "x through"}
    unknown = {**STOPPED, "host": "unknown"}
    assert of(make_attack("a", {"bpf": unknown})).rows[0]["cells"][1] == {"kind": "unknown", "text": "? unknown"}
    assert of(make_attack("a", {"bpf": dict.fromkeys(STOPPED, "inconclusive")})).rows[0]["cells"][1]["text"] == "- no verification"


def test_equal_cells_are_kept_once_and_what_a_host_lacks_is_missing() -> None:
    found = of(make_attack("a", {"bpf": STOPPED, "reboot": STOPPED}), make_attack("b", {"bpf": STOPPED}))
    assert len(found.kinds) == 2
    assert found.picked["a"] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert found.picked["b"][4:] == [MISSING] * 4
    assert found.rows[1]["cells"][1]["text"] == "+ stopped"


def test_old_matrices_are_listed_and_not_counted_and_hosts_that_left_are_neither() -> None:
    found = of(make_attack("a", {"bpf": STOPPED}, ago=3 * DAY), make_attack("x", {"bpf": STOPPED}))
    assert [(host["name"], host["old"]) for host in found.hosts] == [("a", True)]
    assert found.picked == {}
    assert found.rows == []
