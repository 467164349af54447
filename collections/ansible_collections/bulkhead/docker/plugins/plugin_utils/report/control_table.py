# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the table of controls and hosts for the page."""

from __future__ import annotations

from typing import Any

from ..controls.catalog import get_section, load_sections
from ..controls.verdict import FAIL, MANUAL, NOT_APPLICABLE, PASS, STATUSES, UNKNOWN, WAIVED
from .fleet import Fleet

SIGN = {PASS: "+", FAIL: "x", WAIVED: "~", MANUAL: "i", NOT_APPLICABLE: "-", UNKNOWN: "?"}
# The number of hosts with a column of their own, the worst hosts first; more make the page too large.
MAX_HOSTS = 50
# Statuses whose reason is written out; the report of the host has all.
_EXPLAINED = (FAIL, WAIVED, UNKNOWN)


def build_table(fleet: Fleet) -> dict[str, Any]:
    """Return `hosts`, a row per control with a cell per host, and `more`, the number of hosts without a column."""
    judged = [(host.name, host.judgement) for host in fleet.hosts if host.judgement and host.judgement.controls]
    shown = judged[:MAX_HOSTS]
    rows: dict[str, dict[str, Any]] = {}
    for position, (unused, judgement) in enumerate(shown):
        for control in judgement.controls:
            row = rows.setdefault(control["control"], _build_row(control, len(shown)))
            row["cells"][position] = _build_cell(control, control["control"] in judgement.policy.required)
    for row in rows.values():
        row["statuses"] = sorted({cell["status"] for cell in row["cells"]})
    sections = [{"number": section.number, "title": section.title} for section in load_sections()]
    return {
        "hosts": [name for name, unused in shown],
        "rows": list(rows.values()),
        "sections": sections,
        "statuses": STATUSES,
        "more": len(judged) - len(shown),
    }


def _build_row(control: dict[str, Any], hosts: int) -> dict[str, Any]:
    absent = {"status": UNKNOWN, "sign": SIGN[UNKNOWN], "reason": "", "remedy": "", "required": False}
    return {
        "control": control["control"],
        "section": get_section(control["control"]),
        "level": control["level"],
        "title": control["title"],
        "cells": [absent] * hosts,
    }


def _build_cell(control: dict[str, Any], required: bool) -> dict[str, Any]:
    status = control["status"]
    return {
        "status": status,
        "sign": SIGN.get(status, SIGN[UNKNOWN]),
        "reason": control.get("accepted") or control["reason"] if status in _EXPLAINED else "",
        "remedy": control["remedy"] if status == FAIL else "",
        "required": required,
    }
