# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the attacks over the network: stopped by the rules only if the kernel counted their packets before the rules and not after them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .catalog import BLOCKED, INCONCLUSIVE, SUCCEEDED, UNKNOWN
from .configurations import ALONE, TOGETHER
from .configurations import BASELINE as KIND_BASELINE
from .network_catalog import ATTACKS, BASELINE, FAMILY, HOST, LAYER, STACKED, TITLE, NetworkAttack

_KINDS = {BASELINE: KIND_BASELINE, LAYER: ALONE, HOST: TOGETHER, STACKED: TOGETHER}
_TITLES = {BASELINE: "no layer (the baseline)", LAYER: TITLE, HOST: "the host's defaults", STACKED: "everything stacked"}
_SPOOF, _METADATA = "raw_spoof", "metadata_service"


@dataclass
class Result:
    """What happened in the container of a column.

    arrived: whether the packets with a forged address did. packets: attack -> those before and after Bulkhead's rules; empty if they were not
    counted. connections: attack -> address, protocol and port. lines: fields of the kernel's messages about denied connections.
    """

    container: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    arrived: bool = False
    packets: dict[str, tuple[int, int]] = field(default_factory=dict)
    connections: Mapping[str, tuple[str, str, int]] = field(default_factory=dict)
    lines: list[dict[str, str]] = field(default_factory=list)
    bridge: str = ""
    seconds: float = 0.0


def build_rows(columns: Sequence[str], results: Mapping[str, Result], is_loaded: bool, metadata: str) -> dict[str, Any]:
    """Return `configurations` and `attacks`. is_loaded: whether the kernel has Bulkhead's table. metadata: how the host reaches the metadata service."""
    rows = []
    for attack in ATTACKS:
        cells = {name: _build_cell(attack.name, name, results[name], is_loaded) for name in columns}
        reason = _judge_row(cells)
        stopped_by = [LAYER] if LAYER in cells and cells[LAYER]["outcome"] == BLOCKED else []
        for cell in cells.values():
            cell["by"] = stopped_by if cell["outcome"] == BLOCKED and cell.pop("dropped") else []
            cell.pop("dropped", None)
        about = f"{attack.about} ({metadata})" if attack.name == _METADATA and metadata else attack.about
        rows.append(_build_row(attack, about, reason, stopped_by, cells))
    return {"configurations": [_build_column(name, results[name]) for name in columns], "attacks": rows}


def _build_column(name: str, result: Result) -> dict[str, Any]:
    layers = [LAYER] if name != BASELINE else []
    confinement = next((record["confinement"] for record in result.records if "confinement" in record), None)
    return {
        "name": name,
        "title": _TITLES[name],
        "kind": _KINDS[name],
        "layers": layers,
        "confinement": confinement,
        "problem": _find_problem(result),
        "seconds": result.seconds,
    }


def _find_problem(result: Result) -> str:
    if result.error or any("confinement" in record for record in result.records):
        return result.error
    stray = " ".join(str(record["stray"]) for record in result.records if "stray" in record)
    return f"the runner did not start: {stray[-300:] or 'it printed nothing'}"


def _build_cell(attack: str, column: str, result: Result, is_loaded: bool) -> dict[str, Any]:
    cell: dict[str, Any] = {"outcome": UNKNOWN, "errno": None, "step": "", "detail": "", "logged": None, "log": [], "traced": None}
    cell |= {"trace": None, "dropped": False}
    record = next((record for record in result.records if record.get("attack") == attack), None)
    if record is None:
        return {**cell, "detail": _find_problem(result) or "the runner ended before it"}
    cell |= {key: record[key] for key in ("outcome", "errno", "step", "detail") if record.get(key) is not None}
    if attack == _SPOOF and cell["outcome"] == SUCCEEDED and not result.arrived:
        cell |= {"outcome": BLOCKED, "step": "arrival", "detail": "no packet arrived"}
    if cell["outcome"] != BLOCKED:
        return cell
    before, after = result.packets.get(attack, (0, 0))
    cell["dropped"] = is_loaded and before > 0 and after == 0
    if cell["dropped"]:
        cell |= _describe_denial(attack, result)
        cell["detail"] = f"the rules dropped {before} packets; {cell['detail']}"
    elif column == LAYER:
        text = f"the kernel counted {before} packets before the rules and {after} after them; {cell['detail']}"
        cell |= {"outcome": UNKNOWN, "detail": f"it fails, but not by the rules: {text}"}
    return cell


def _describe_denial(attack: str, result: Result) -> dict[str, Any]:
    """Return what the kernel logged of a denied attack."""
    address, protocol, port = result.connections[attack]
    for fields in result.lines:
        at = fields.get("DST", ""), fields.get("PROTO", "").lower(), fields.get("DPT")
        if fields.get("IN") == result.bridge and at[0] in (address or at[0],) and at[1:] == (protocol, str(port)):
            detail = f"{at[0]} {protocol}/{port} (from {fields.get('SRC')} in {result.bridge})"
            trace = {"container": result.container[:12], "layer": LAYER, "operation": fields["preset"], "detail": detail}
            return {
                "logged": True,
                "log": [f"bulkhead-egress {fields['stage']} {fields['preset']}: {detail}"],
                "trace": trace,
                "traced": True,
            }
    return {"logged": False, "silent": "the limit of messages for one address was reached", "traced": False}


def _judge_row(cells: dict[str, dict[str, Any]]) -> str:
    """Return why the attack is inconclusive, or nothing. If it is, each BLOCKED cell becomes INCONCLUSIVE."""
    baseline = cells[BASELINE]
    if baseline["outcome"] == SUCCEEDED:
        return ""
    if baseline["outcome"] == UNKNOWN:
        reason = f"the baseline is unknown: {baseline['detail']}"
    else:
        reason = f"it fails without any layer too: {baseline['step']}" + (f" with {baseline['errno']}" if baseline["errno"] else "")
    for cell in cells.values():
        if cell["outcome"] == BLOCKED:
            cell["outcome"] = INCONCLUSIVE
    return reason


def build_inapplicable(user: str) -> dict[str, Any]:
    """Return rows and columns of a rootless engine, in which no container is without the rules."""
    reason = f"it was not run: the rules apply to all that {user} sends, so that no container is without them"
    return build_not_run(reason, reason, INCONCLUSIVE)


def build_not_run(problem: str, reason: str, outcome: str) -> dict[str, Any]:
    """Return rows and columns of attacks that were not run. problem: of the column and its cells. reason: of the rows."""
    result = Result(error=problem)
    cell = {**_build_cell("", LAYER, result, False), "outcome": outcome, "by": []}
    del cell["dropped"]
    rows = [_build_row(attack, attack.about, reason, [], {LAYER: dict(cell)}) for attack in ATTACKS]
    return {"configurations": [_build_column(LAYER, result)], "attacks": rows, "seconds": 0.0}


def _build_row(attack: NetworkAttack, about: str, reason: str, stopped_by: list[str], cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": attack.name,
        "family": FAMILY,
        "about": about,
        "foothold": "",
        "conclusive": not reason,
        "reason": reason,
        "stopped_by": stopped_by,
        "layers": len(stopped_by),
        "cells": cells,
    }
