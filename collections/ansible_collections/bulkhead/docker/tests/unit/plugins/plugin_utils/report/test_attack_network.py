# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.attack.attribution import list_unmet
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.network_catalog import NAMES
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.network_rows import Result, build_inapplicable, build_rows
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.attack_network import merge_network
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.attack_requirements import find_requirement_problems
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.attack_table import render_matrix

COLUMNS = [("none", "baseline"), ("seccomp", "alone"), ("host", "together")]


def make_cell(outcome: str) -> dict[str, Any]:
    return {"outcome": outcome, "logged": False, "errno": None, "step": "", "detail": "", "by": []}


def make_matrix() -> dict[str, Any]:
    cells = {"none": make_cell("succeeded"), "seccomp": make_cell("blocked"), "host": make_cell("blocked")}
    row = {"name": "bpf", "family": "kernel", "about": "", "conclusive": True, "reason": "", "stopped_by": ["seccomp"], "layers": 1}
    columns = [{"name": name, "title": name, "kind": kind, "problem": ""} for name, kind in COLUMNS]
    return {"configurations": columns, "attacks": [{**row, "cells": cells}], "seconds": 1.0, "subject": "host", "log": {"error": ""}}


def make_network() -> dict[str, Any]:
    def build(outcome: str, packets: tuple[int, int]) -> Result:
        records = [{"confinement": {}}, *({"attack": name, "outcome": outcome} for name in NAMES)]
        counted = dict.fromkeys(NAMES, packets)
        return Result("c0ffee", records, arrived=True, packets=counted, connections=dict.fromkeys(NAMES, ("", "tcp", 80)))

    results = {"none": build("succeeded", (1, 1)), "egress": build("blocked", (1, 0)), "stacked": build("blocked", (1, 0))}
    return {**build_rows(list(results), results, True, ""), "seconds": 2.0}


def test_the_column_comes_after_the_other_layers() -> None:
    found = merge_network(make_matrix(), make_network())
    assert [column["name"] for column in found["configurations"]] == ["none", "seccomp", "egress", "host"]
    assert [row["name"] for row in found["attacks"]] == ["bpf", *NAMES]
    # `stacked` is not a column of this matrix.
    assert list(found["attacks"][1]["cells"]) == ["none", "egress"]
    assert found["seconds"] == 3.0


def test_the_table_has_no_sign_where_nothing_was_run() -> None:
    text = [line for line, _colour in render_matrix("web1", merge_network(make_matrix(), make_network()), ())]
    rows = {line.split()[0]: line.split()[1:] for line in text if line.strip()}
    assert next(line for line in text if "egress" in line).split() == ["none", "sec", "egress", "host", "layers"]
    assert rows["bpf"] == [".", "#", "#", "1"]
    assert rows["metadata_service"] == [".", "#", "1"]


def test_a_skipped_or_missing_run_adds_nothing() -> None:
    assert merge_network(make_matrix(), {}) == merge_network(make_matrix(), {"skipped": True, "changed": False}) == make_matrix()
    assert merge_network({"msg": "no engine"}, make_network()) == {"msg": "no engine"}


def test_a_failed_run_is_unknown() -> None:
    found = merge_network(make_matrix(), {"msg": "the attacks over the network did not run: no bridge", "failed": True})
    assert found["configurations"][2]["problem"] == "the attacks over the network did not run: no bridge"
    assert {row["cells"]["egress"]["outcome"] for row in found["attacks"][1:]} == {"unknown"}
    assert list_unmet(found["attacks"], {"metadata_service": 1})[0].startswith("metadata_service is inconclusive (it was not run: ")
    assert any("no bridge" in line for line, _colour in render_matrix("web1", found, ()))


def test_a_rootless_engine_has_the_reason() -> None:
    found = merge_network(make_matrix(), build_inapplicable("web"))
    text = " ".join(line.strip() for line, _colour in render_matrix("web1", found, ()))
    assert "the rules apply to all that web sends" in text


def test_attacks_over_the_network_can_be_required() -> None:
    assert find_requirement_problems("attack_matrix_required", dict.fromkeys(NAMES, 1)) == []
    assert "write metadata_service" in find_requirement_problems("attack_matrix_required", {"metadata": 1})[0]
