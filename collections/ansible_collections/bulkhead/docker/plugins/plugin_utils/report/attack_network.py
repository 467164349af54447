# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds the attacks over the network to an attack matrix: their rows, and the column of layer egress. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.attack.network_catalog import ATTACKS, FAMILY, LAYER, TITLE


def merge_network(matrix: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Return a matrix with the rows and the column of `network_attacks`. network: its result, or the failure of its task; empty if it was skipped.

    The other columns have cells in these rows only if `network_attacks` ran them, and the column has none in the other rows.
    """
    if "attacks" not in matrix or network.get("skipped") or not network:
        return dict(matrix)
    if "attacks" not in network:
        network = _describe_failure(str(network.get("msg", "network_attacks did not run")))
    columns = list(matrix["configurations"])
    position = next((number for number, column in enumerate(columns) if column["kind"] == "together"), len(columns))
    columns[position:position] = [column for column in network["configurations"] if column["name"] == LAYER]
    names = {column["name"] for column in columns}
    rows = [{**row, "cells": {name: cell for name, cell in row["cells"].items() if name in names}} for row in network["attacks"]]
    return {
        **matrix,
        "configurations": columns,
        "attacks": [*matrix["attacks"], *rows],
        "seconds": matrix["seconds"] + network["seconds"],
    }


def _describe_failure(why: str) -> dict[str, Any]:
    """Return a result in which all is unknown."""
    problem = why.removeprefix("Task failed: ")
    column = {"name": LAYER, "title": TITLE, "kind": "alone", "layers": [LAYER], "confinement": None, "problem": problem, "seconds": 0.0}
    cell: dict[str, Any] = {
        "outcome": "unknown",
        "errno": None,
        "step": "",
        "detail": problem,
        "by": [],
        "logged": None,
        "log": [],
        "traced": None,
        "trace": None,
    }
    rows = [
        {
            "name": attack.name,
            "family": FAMILY,
            "about": attack.about,
            "foothold": "",
            "conclusive": False,
            "reason": f"it was not run: {problem}",
            "stopped_by": [],
            "layers": 0,
            "cells": {LAYER: cell},
        }
        for attack in ATTACKS
    ]
    return {"configurations": [column], "attacks": rows, "seconds": 0.0}
