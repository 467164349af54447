# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds the attacks over the network to an attack matrix: their rows, and the column of layer egress. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.attack.catalog import UNKNOWN
from ...module_utils.attack.network_catalog import LAYER
from ...module_utils.attack.network_rows import build_not_run


def merge_network(matrix: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Return a matrix with the rows and the column of `network_attacks`. network: its result, or the failure of its task; empty if it was skipped.

    In the added rows, the other columns have cells only if `network_attacks` ran them. In all other rows, the added column has none.
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
    return build_not_run(problem, f"it was not run: {problem}", UNKNOWN)
