# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds which layers stop each attack by themselves. Pure.

An attack is conclusive only if it succeeds in the baseline: if it fails there too, no layer gets the credit.
In a rootless engine the baseline has a user namespace. What fails there may be stopped by it, but by no other layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .audit import explain_silence
from .catalog import ATTACKS, BLOCKED, FOOTHOLDS, INCONCLUSIVE, LAYER_NAMES, SUCCEEDED, UNKNOWN
from .configurations import ALONE, BASELINE, USERNS, AttackConfiguration, is_in_user_namespace, list_surplus_layers
from .traces import Traces, describe_trace


def build_rows(
    configurations: Sequence[AttackConfiguration],
    results: Mapping[str, Mapping[str, Any]],
    denials: Mapping[str, list[str]],
    attacks: Sequence[str],
    full: str,
    is_log_read: bool = True,
    traces: Traces | None = None,
) -> dict[str, Any]:
    """Return `configurations` and `attacks` as the module returns them.

    results: configuration → `records`, `error`, `seconds`. denials: comm → messages. full: CapBnd with every capability of this kernel.
    is_log_read: whether the kernel's messages were read; otherwise `logged` of a cell is None.
    traces: what the kernel counted; None if it does not count, then `traced` of a cell is None.
    """
    columns = [_build_column(configuration, results[configuration.name], full) for configuration in configurations]
    problem = {column["name"]: column["problem"] for column in columns}
    rows = []
    for attack in (a for a in ATTACKS if a.name in attacks):
        cells = {c.name: _build_cell(attack.name, results[c.name], problem[c.name], denials, is_log_read, traces) for c in configurations}
        reason = _judge_row(cells, configurations)
        stopped_by = [c.name for c in configurations if c.kind == ALONE and cells[c.name]["outcome"] == BLOCKED]
        _name_layers(cells, configurations, stopped_by, traces is not None)
        rows.append(
            {
                "name": attack.name,
                "family": attack.family,
                "about": attack.about,
                "foothold": FOOTHOLDS.get(attack.foothold, ""),
                "conclusive": not reason,
                "reason": reason,
                "stopped_by": stopped_by,
                "layers": len(stopped_by),
                "cells": cells,
            }
        )
    return {"configurations": columns, "attacks": rows}


def list_unmet(rows: Sequence[Mapping[str, Any]], required: Mapping[str, int]) -> list[str]:
    """Return one message per requirement of the inventory that the matrix does not meet."""
    by_name = {row["name"]: row for row in rows}
    unmet = []
    for name, number in required.items():
        row = by_name.get(name)
        if row is None:
            unmet.append(f"{name} was not run, and {number} layers must stop it")
        elif number and not row["conclusive"]:
            unmet.append(f"{name} is inconclusive ({row['reason']}), and {number} layers must stop it")
        elif row["layers"] < number:
            by = ", ".join(row["stopped_by"]) or "none"
            unmet.append(f"{name} is stopped by {row['layers']} layers ({by}), and {number} must stop it")
    return unmet


def _build_column(configuration: AttackConfiguration, results: Mapping[str, Any], full: str) -> dict[str, Any]:
    confinement = next((r["confinement"] for r in results["records"] if "confinement" in r), None)
    problem = results["error"]
    if not problem and confinement is None:
        stray = " ".join(r["stray"] for r in results["records"] if "stray" in r)
        problem = f"the runner did not start: {stray[-300:] or 'it printed nothing'}"
    elif not problem:
        surplus = list_surplus_layers(configuration, confinement or {}, full)
        problem = f"{', '.join(surplus)} could not be switched off" if surplus else ""
        if (
            not surplus
            and configuration.kind == BASELINE
            and USERNS in configuration.layers
            and not is_in_user_namespace(confinement or {})
        ):
            problem = "it is not in a user namespace, unlike a container of a rootless engine"
    return {
        "name": configuration.name,
        "title": configuration.title,
        "kind": configuration.kind,
        "layers": list(configuration.layers),
        "confinement": confinement,
        "problem": problem,
        "seconds": results["seconds"],
    }


def _build_cell(
    name: str, results: Mapping[str, Any], problem: str, denials: Mapping[str, list[str]], is_log_read: bool, traces: Traces | None
) -> dict[str, Any]:
    record = next((r for r in results["records"] if r.get("attack") == name), None)
    cell: dict[str, Any] = {"outcome": UNKNOWN, "errno": None, "step": "", "detail": "", "by": [], "logged": None, "log": []}
    cell.update(traced=None, trace=None)
    if record is not None:
        cell.update({key: record[key] for key in ("outcome", "errno", "step", "detail") if record.get(key) is not None})
        cell["log"] = denials.get(record.get("comm", ""), [])
        cell["logged"] = bool(cell["log"]) if is_log_read else None
        cell["trace"] = describe_trace(traces, results["container"], record.get("comm", "")) if traces is not None else None
    if problem:
        cell.update(outcome=UNKNOWN, detail=problem)
    elif record is None:
        cell["detail"] = "the runner ended before it"
    return cell


def _judge_row(cells: dict[str, dict[str, Any]], configurations: Sequence[AttackConfiguration]) -> str:
    """Return why the attack is inconclusive, or nothing. If it is, each BLOCKED cell becomes INCONCLUSIVE."""
    column = next(c for c in configurations if c.kind == BASELINE)
    baseline = cells[column.name]
    if baseline["outcome"] == SUCCEEDED:
        return ""
    if baseline["outcome"] == UNKNOWN:
        reason = f"the baseline is unknown: {baseline['detail']}"
    else:
        error = f" with {baseline['errno']}" if baseline["errno"] else ""
        without = "in the user namespace alone too, because of it or of the kernel" if column.layers else "without any layer too"
        reason = f"it fails {without}: {baseline['step']}{error}"
    for cell in cells.values():
        if cell["outcome"] == BLOCKED:
            cell["outcome"] = INCONCLUSIVE
    return reason


def _name_layers(
    cells: dict[str, dict[str, Any]], configurations: Sequence[AttackConfiguration], stopped_by: Sequence[str], is_counting: bool
) -> None:
    """Set `by`, `traced` and `silent` of each blocked cell: the layers of its configuration that stop the attack alone, whether a counted denial
    names one of its layers, and why no message was logged.
    """
    for configuration in configurations:
        cell = cells[configuration.name]
        if cell["outcome"] != BLOCKED:
            continue
        cell["by"] = [layer for layer in LAYER_NAMES if layer in configuration.layers and layer in stopped_by]
        if is_counting:
            # Another layer of the configuration than those of `by` can be first: its settings can be stricter there than alone.
            cell["traced"] = cell["trace"] is not None and cell["trace"]["layer"] in configuration.layers
        if not cell["logged"] and cell["logged"] is not None:
            cell["silent"] = explain_silence(cell["by"], bool(cell["log"]))
