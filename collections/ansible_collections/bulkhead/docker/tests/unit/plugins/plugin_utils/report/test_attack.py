# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import attack_table, fleet
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.attack import MISSING, Matrix, merge_matrices
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.read import Reports

from .samples import DAY, NOW, make_attack, make_verification

STOPPED = {"none": "succeeded", "seccomp": "blocked", "userns": "succeeded", "host": "blocked"}
THROUGH = {**STOPPED, "seccomp": "succeeded", "host": "succeeded"}


def of(*reports: dict[str, Any], known: tuple[str, ...] = ("a", "b", "c")) -> Matrix:
    reports_by_host = {report["host"]: report for report in reports}
    inventory = fleet.InventoryHosts({name: set() for name in known}, known)
    return merge_matrices(
        fleet.judge_fleet(Reports({name: make_verification(name) for name in reports_by_host}, reports_by_host), inventory, NOW, 2 * DAY)
    )


def test_a_cell_has_a_number_only_if_hosts_differ() -> None:
    found = of(make_attack("a", {"bpf": STOPPED}), make_attack("b", {"bpf": THROUGH}))
    texts = {column["name"]: (cell["kind"], cell["text"]) for column, cell in zip(found.columns, found.rows[0]["cells"], strict=True)}
    assert list(texts) == ["none", "host", "seccomp", "userns"], "the configuration of real containers follows the baseline"
    assert texts == {
        "none": ("not_applicable", "x succeeded"),  # the baseline, where an attack should succeed
        "seccomp": ("not_applicable", "! 1 of 2 stopped"),
        "userns": ("not_applicable", "x succeeded"),
        "host": ("degraded", "! 1 of 2 stopped"),
    }
    assert [(host["name"], host["through"]) for host in found.hosts] == [("a", []), ("b", ["bpf"])]


def test_a_success_in_a_real_configuration_is_marked() -> None:
    assert of(make_attack("a", {"bpf": THROUGH})).rows[0]["cells"][1] == {"kind": "absent", "text": "x succeeded"}
    unknown = {**STOPPED, "host": "unknown"}
    assert of(make_attack("a", {"bpf": unknown})).rows[0]["cells"][1] == {"kind": "unknown", "text": "? unknown"}
    assert of(make_attack("a", {"bpf": dict.fromkeys(STOPPED, "inconclusive")})).rows[0]["cells"][1]["text"] == "- inconclusive"


def test_equal_cells_are_kept_once() -> None:
    found = of(make_attack("a", {"bpf": STOPPED, "reboot": STOPPED}), make_attack("b", {"bpf": STOPPED}))
    assert len(found.kinds) == 2
    assert found.picked["a"] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert found.picked["b"][4:] == [MISSING] * 4
    assert found.rows[1]["cells"][1]["text"] == "+ stopped"


def test_old_matrices_are_listed_but_not_counted() -> None:
    found = of(make_attack("a", {"bpf": STOPPED}, ago=3 * DAY), make_attack("x", {"bpf": STOPPED}))
    assert [(host["name"], host["old"]) for host in found.hosts] == [("a", True)]
    assert found.picked == {}
    assert found.rows == []


def test_stopped_attempts_without_a_trace_are_named():
    def cell(outcome, traced=None):
        return {"outcome": outcome, "traced": traced}

    rows = [
        {"name": "bpf", "cells": {"none": cell("succeeded"), "seccomp": cell("blocked", True), "host": cell("blocked", True)}},
        {"name": "setuid_program", "cells": {"host": cell("blocked", False), "stacked": cell("blocked", False)}},
    ]
    text = "the kernel counted 2 of {} stopped attempts with their container and layer"
    assert attack_table.describe_traced(rows) == f"{text.format(4)}; not counted: setuid_program (host, stacked)"
    assert attack_table.describe_traced(rows[:1]) == text.format(2)
