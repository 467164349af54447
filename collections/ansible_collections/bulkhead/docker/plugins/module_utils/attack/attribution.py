# SPDX-License-Identifier: GPL-3.0-or-later
"""What the matrix shows: for each attack, which layers stop it by themselves. Pure.

An attack proves something of a layer only when it gets through without any: what fails in the control as well is no layer's merit.
In a rootless engine the control has a user namespace; what fails there may be that layer's merit, which nothing shows, and is none of the others'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .audit import silent
from .catalog import ATTACKS, FOOTHOLDS, LAYER_NAMES
from .configurations import ALONE, CONTROL, USERNS, Configuration, as_intended, in_user_namespace

BLOCKED, SUCCEEDED, NO_PROOF, UNKNOWN = "blocked", "succeeded", "inconclusive", "unknown"


def attribute(
    configurations: Sequence[Configuration],
    played: Mapping[str, Mapping[str, Any]],
    denials: Mapping[str, list[str]],
    attacks: Sequence[str],
    full: str,
    heard: bool = True,
) -> dict[str, Any]:
    """`configurations` and `attacks` as the module returns them.

    played: configuration → `records`, `error`, `seconds`. denials: comm → messages. full: CapBnd with every capability of this kernel.
    heard: whether the kernel's messages could be read at all; otherwise a cell's `logged` is None.
    """
    columns = [_column(configuration, played[configuration.name], full) for configuration in configurations]
    trouble = {column["name"]: column["trouble"] for column in columns}
    rows = []
    for attack in (a for a in ATTACKS if a.name in attacks):
        cells = {c.name: _cell(attack.name, played[c.name], trouble[c.name], denials, heard) for c in configurations}
        reason = _judge(cells, configurations)
        stopped_by = [c.name for c in configurations if c.kind == ALONE and cells[c.name]["outcome"] == BLOCKED]
        _name_layers(cells, configurations, stopped_by)
        rows.append(
            {
                "name": attack.name,
                "family": attack.family,
                "about": attack.about,
                "foothold": FOOTHOLDS.get(attack.foothold, ""),
                "provable": not reason,
                "reason": reason,
                "stopped_by": stopped_by,
                "layers": len(stopped_by),
                "cells": cells,
            }
        )
    return {"configurations": columns, "attacks": rows}


def demands(rows: Sequence[Mapping[str, Any]], required: Mapping[str, int]) -> list[str]:
    """What the inventory demands and the matrix does not show, a sentence each."""
    by_name = {row["name"]: row for row in rows}
    unmet = []
    for name, number in required.items():
        row = by_name.get(name)
        if row is None:
            unmet.append(f"{name} was not played, and {number} layers have to stop it")
        elif number and not row["provable"]:
            unmet.append(f"{name} proves nothing here ({row['reason']}), and {number} layers have to stop it")
        elif row["layers"] < number:
            by = ", ".join(row["stopped_by"]) or "none"
            unmet.append(f"{name} is stopped by {row['layers']} layers ({by}), and {number} have to stop it")
    return unmet


def _column(configuration: Configuration, played: Mapping[str, Any], full: str) -> dict[str, Any]:
    confinement = next((r["confinement"] for r in played["records"] if "confinement" in r), None)
    trouble = played["error"]
    if not trouble and confinement is None:
        stray = " ".join(r["stray"] for r in played["records"] if "stray" in r)
        trouble = f"the player did not start: {stray[-300:] or 'it said nothing'}"
    elif not trouble:
        surplus = as_intended(configuration, confinement or {}, full)
        trouble = f"{', '.join(surplus)} could not be switched off" if surplus else ""
        if not surplus and configuration.kind == CONTROL and USERNS in configuration.layers and not in_user_namespace(confinement or {}):
            trouble = "it is in no user namespace, as a container of a rootless engine is"
    return {
        "name": configuration.name,
        "title": configuration.title,
        "kind": configuration.kind,
        "layers": list(configuration.layers),
        "confinement": confinement,
        "trouble": trouble,
        "seconds": played["seconds"],
    }


def _cell(name: str, played: Mapping[str, Any], trouble: str, denials: Mapping[str, list[str]], heard: bool) -> dict[str, Any]:
    record = next((r for r in played["records"] if r.get("attack") == name), None)
    cell: dict[str, Any] = {"outcome": UNKNOWN, "errno": None, "step": "", "detail": "", "by": [], "logged": None, "log": []}
    if record is not None:
        cell.update({key: record[key] for key in ("outcome", "errno", "step", "detail") if record.get(key) is not None})
        cell["log"] = denials.get(record.get("comm", ""), [])
        cell["logged"] = bool(cell["log"]) if heard else None
    if trouble:
        cell.update(outcome=UNKNOWN, detail=trouble)
    elif record is None:
        cell["detail"] = "the player ended before it"
    return cell


def _judge(cells: dict[str, dict[str, Any]], configurations: Sequence[Configuration]) -> str:
    """Why the attack proves nothing, or nothing; in that case every refusal becomes NO_PROOF."""
    column = next(c for c in configurations if c.kind == CONTROL)
    control = cells[column.name]
    if control["outcome"] == SUCCEEDED:
        return ""
    if control["outcome"] == UNKNOWN:
        reason = f"the control is unknown: {control['detail']}"
    else:
        error = f" with {control['errno']}" if control["errno"] else ""
        without = "in the user namespace alone as well, whether by it or by the kernel" if column.layers else "without any layer as well"
        reason = f"it fails {without}: {control['step']}{error}"
    for cell in cells.values():
        if cell["outcome"] == BLOCKED:
            cell["outcome"] = NO_PROOF
    return reason


def _name_layers(cells: dict[str, dict[str, Any]], configurations: Sequence[Configuration], stopped_by: Sequence[str]) -> None:
    """Whose doing each refusal is: those layers of the configuration that stop the attack by themselves."""
    for configuration in configurations:
        cell = cells[configuration.name]
        if cell["outcome"] != BLOCKED:
            continue
        cell["by"] = [layer for layer in LAYER_NAMES if layer in configuration.layers and layer in stopped_by]
        if not cell["logged"] and cell["logged"] is not None:
            cell["silent"] = silent(cell["by"], bool(cell["log"]))
