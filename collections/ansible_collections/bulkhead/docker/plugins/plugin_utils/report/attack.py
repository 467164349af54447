# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges the attack matrices of a fleet's hosts into one: attacks by configuration, and how many hosts stop each. Pure.

A matrix has hundreds of cells, and most are the same on every host. So each kind of cell is kept once, and a host is a list of numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .fleet import GONE, Fleet, HostState
from .read import get_report_time
from .text import format_age

BLOCKED, SUCCEEDED = "blocked", "succeeded"
SIGNS = {BLOCKED: "+", SUCCEEDED: "x", "inconclusive": "-", "unknown": "?"}
LABELS = {BLOCKED: "stopped", SUCCEEDED: "succeeded", "inconclusive": "inconclusive", "unknown": "unknown"}
# The configurations of real containers: an attack that succeeds there succeeds on the host. The others only distinguish the layers.
OWN = ("host", "container", "stacked")
_KEPT = ("outcome", "errno", "step", "detail", "by", "logged", "silent", "traced")
# The order of the columns: the baseline, the configurations of real containers, then each layer alone.
_KINDS = ("baseline", "together", "alone")
MISSING = -1


@dataclass
class Matrix:
    """The merged matrix.

    columns: `name`, `title`, `kind` of each configuration. rows: `name`, `family`, `about`, `foothold` and `cells` of each attack; a cell is `kind`
    and `text`. hosts: each with `name`, `subject`, `age`, `old`, `unmet` and `through` (attacks that succeed in its own configurations).
    kinds: the kinds of cells. picked: host -> an index of `kinds` for each cell, row by row; MISSING if the host has no such cell.
    """

    columns: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    hosts: list[dict[str, Any]] = field(default_factory=list)
    kinds: list[dict[str, Any]] = field(default_factory=list)
    picked: dict[str, list[int]] = field(default_factory=dict)


def merge_matrices(fleet: Fleet) -> Matrix:
    """Return the matrix of the hosts that are still in the inventory. The matrix of a host that is too old is listed, but not counted."""
    found = Matrix()
    counted = []
    for host in fleet.hosts:
        if host.attack and host.condition != GONE:
            seconds = max(0.0, fleet.now - get_report_time(host.attack))
            old = seconds > fleet.stale_seconds
            found.hosts.append(_describe_host(host, format_age(seconds), old))
            if not old:
                counted.append(host)
    matrices = [(host.name, host.attack["matrix"]) for host in counted if host.attack]
    found.columns = _merge_entries([matrix["configurations"] for unused, matrix in matrices], ("name", "title", "kind"))
    found.columns.sort(key=lambda column: _KINDS.index(column["kind"]) if column["kind"] in _KINDS else len(_KINDS))
    attacks = _merge_entries([matrix["attacks"] for unused, matrix in matrices], ("name", "family", "about", "foothold"))
    numbers: dict[str, int] = {}
    for name, matrix in matrices:
        rows = {attack["name"]: attack["cells"] for attack in matrix["attacks"]}
        cells = (rows.get(attack["name"], {}).get(column["name"]) for attack in attacks for column in found.columns)
        found.picked[name] = [MISSING if cell is None else _index_kind(cell, numbers, found.kinds) for cell in cells]
    for position, attack in enumerate(attacks):
        start = position * len(found.columns)
        cells_of_row = [
            _summarize_cell(column, [found.kinds[number] for host in found.picked.values() if (number := host[start + offset]) != MISSING])
            for offset, column in enumerate(found.columns)
        ]
        found.rows.append({**attack, "cells": cells_of_row})
    return found


def _describe_host(host: HostState, age: str, old: bool) -> dict[str, Any]:
    attack: Mapping[str, Any] = host.attack or {}
    through = [
        row["name"] for row in attack["matrix"]["attacks"] if any(row["cells"].get(own, {}).get("outcome") == SUCCEEDED for own in OWN[:2])
    ]
    subject = attack["matrix"].get("subject", "host")
    return {"name": host.name, "subject": subject, "age": age, "old": old, "unmet": attack["unmet"], "through": through}


def _merge_entries(lists: Sequence[Sequence[Mapping[str, Any]]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return the entries of all lists, each name once, in the order of their first appearance."""
    found: dict[str, dict[str, Any]] = {}
    for entries in lists:
        for entry in entries:
            found.setdefault(entry["name"], {key: entry.get(key, "") for key in keys})
    return list(found.values())


def _index_kind(cell: Mapping[str, Any], numbers: dict[str, int], kinds: list[dict[str, Any]]) -> int:
    kind = {key: cell[key] for key in _KEPT if cell.get(key) not in (None, "", [])}
    if trace := cell.get("trace"):  # without the container, which differs on each host
        kind["trace"] = f"{trace['layer']}: {trace['operation']} {trace['detail']}"
    text = json.dumps(kind, sort_keys=True)
    if text not in numbers:
        numbers[text] = len(kinds)
        kinds.append(kind)
    return numbers[text]


def _summarize_cell(column: Mapping[str, Any], kinds: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the outcome if all hosts have the same one; otherwise on how many of them the attack is stopped."""
    outcomes = Counter(str(kind["outcome"]) for kind in kinds)
    if not outcomes:
        return {"kind": "not_applicable free", "text": "not run"}
    if len(outcomes) == 1:
        outcome = next(iter(outcomes))
        text = f"{SIGNS.get(outcome, '?')} {LABELS.get(outcome, outcome)}"
        return {"kind": _choose_kind(outcome, column["name"]), "text": text}
    stopped = outcomes[BLOCKED]
    kind = "degraded" if column["name"] in OWN and outcomes[SUCCEEDED] else "unknown" if outcomes["unknown"] else "not_applicable"
    return {"kind": kind, "text": f"! {stopped} of {len(kinds)} stopped"}


def _choose_kind(outcome: str, column: str) -> str:
    """Return the style of a cell. A success is only bad in the configuration of real containers."""
    if outcome == SUCCEEDED:
        return "absent" if column in OWN else "not_applicable"
    return {BLOCKED: "enforced", "unknown": "unknown"}.get(outcome, "not_applicable")
