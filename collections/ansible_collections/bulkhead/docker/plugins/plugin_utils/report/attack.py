# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack matrices of a fleet's hosts as one: attack by configuration, and how many hosts withstand. Pure.

A matrix has hundreds of cells, and most are the same on every host; so each kind of cell is kept once, and a host is a list of numbers.
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
WORDS = {BLOCKED: "stopped", SUCCEEDED: "through", "inconclusive": "no verification", "unknown": "unknown"}
# The configurations that are a host's own; what gets through them gets through. The others are there to tell the layers apart.
OWN = ("host", "container", "stacked")
_KEPT = ("outcome", "errno", "step", "detail", "by", "logged", "silent")
# What a host's containers really run with stands beside the control; each layer alone comes after.
_KINDS = ("control", "together", "alone")
MISSING = -1


@dataclass
class Matrix:
    """columns: `name`, `title`, `kind` of each configuration. rows: `name`, `family`, `about`, `foothold` and `cells` of each attack; a cell is `kind`
    and `text`. hosts: each with `name`, `subject`, `age`, `old`, `unmet` and `through` (attacks that get through its own configurations).
    kinds: the kinds of cells. picked: host → a number of `kinds` for each cell, row by row, MISSING where it has none.
    """

    columns: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    hosts: list[dict[str, Any]] = field(default_factory=list)
    kinds: list[dict[str, Any]] = field(default_factory=list)
    picked: dict[str, list[int]] = field(default_factory=dict)


def matrix(fleet: Fleet) -> Matrix:
    """Of the hosts that are still in the inventory; a matrix that is too old is listed, and not counted."""
    found = Matrix()
    counted = []
    for host in fleet.hosts:
        if host.attack and host.condition != GONE:
            seconds = max(0.0, fleet.now - get_report_time(host.attack))
            old = seconds > fleet.stale_seconds
            found.hosts.append(_about(host, format_age(seconds), old))
            if not old:
                counted.append(host)
    plays = [(host.name, host.attack["matrix"]) for host in counted if host.attack]
    found.columns = _union([play["configurations"] for unused, play in plays], ("name", "title", "kind"))
    found.columns.sort(key=lambda column: _KINDS.index(column["kind"]) if column["kind"] in _KINDS else len(_KINDS))
    attacks = _union([play["attacks"] for unused, play in plays], ("name", "family", "about", "foothold"))
    numbers: dict[str, int] = {}
    for name, play in plays:
        rows = {attack["name"]: attack["cells"] for attack in play["attacks"]}
        cells = (rows.get(attack["name"], {}).get(column["name"]) for attack in attacks for column in found.columns)
        found.picked[name] = [MISSING if cell is None else _number(cell, numbers, found.kinds) for cell in cells]
    for place, attack in enumerate(attacks):
        start = place * len(found.columns)
        across = [
            _cell(column, [found.kinds[number] for host in found.picked.values() if (number := host[start + offset]) != MISSING])
            for offset, column in enumerate(found.columns)
        ]
        found.rows.append({**attack, "cells": across})
    return found


def _about(host: HostState, old_age: str, old: bool) -> dict[str, Any]:
    attack: Mapping[str, Any] = host.attack or {}
    through = [
        row["name"] for row in attack["matrix"]["attacks"] if any(row["cells"].get(own, {}).get("outcome") == SUCCEEDED for own in OWN[:2])
    ]
    subject = attack["matrix"].get("subject", "host")
    return {"name": host.name, "subject": subject, "age": old_age, "old": old, "unmet": attack["unmet"], "through": through}


def _union(lists: Sequence[Sequence[Mapping[str, Any]]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """What any of the lists has, by name, in the order in which it is first seen."""
    found: dict[str, dict[str, Any]] = {}
    for one in lists:
        for entry in one:
            found.setdefault(entry["name"], {key: entry.get(key, "") for key in keys})
    return list(found.values())


def _number(cell: Mapping[str, Any], numbers: dict[str, int], kinds: list[dict[str, Any]]) -> int:
    kind = {key: cell[key] for key in _KEPT if cell.get(key) not in (None, "", [])}
    text = json.dumps(kind, sort_keys=True)
    if text not in numbers:
        numbers[text] = len(kinds)
        kinds.append(kind)
    return numbers[text]


def _cell(column: Mapping[str, Any], kinds: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One outcome when all hosts agree, otherwise on how many of them it is stopped."""
    outcomes = Counter(str(kind["outcome"]) for kind in kinds)
    if not outcomes:
        return {"kind": "not_applicable free", "text": "not played"}
    if len(outcomes) == 1:
        outcome = next(iter(outcomes))
        text = f"{SIGNS.get(outcome, '?')} {WORDS.get(outcome, outcome)}"
        return {"kind": _kind(outcome, column["name"]), "text": text}
    stopped = outcomes[BLOCKED]
    kind = "degraded" if column["name"] in OWN and outcomes[SUCCEEDED] else "unknown" if outcomes["unknown"] else "not_applicable"
    return {"kind": kind, "text": f"! {stopped} of {len(kinds)} stopped"}


def _kind(outcome: str, column: str) -> str:
    """How a cell looks: what gets through matters where the configuration is a host's own."""
    if outcome == SUCCEEDED:
        return "absent" if column in OWN else "not_applicable"
    return {BLOCKED: "enforced", "unknown": "unknown"}.get(outcome, "not_applicable")
