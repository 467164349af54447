# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and writes the decisions of a rollout, one `plan-HOST.json` per host, next to the reports on the control node."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import write_report
from ..report.read import read_report
from .batch import RolloutProgress, measure_progress


def get_decision_path(folder: Path, host: str) -> Path:
    return folder / f"plan-{host}.json"


def save_decision(folder: Path, decision: dict[str, Any], run: str) -> None:
    """Write the decision for a host. Raises OSError."""
    write_report(get_decision_path(folder, decision["host"]), {**decision, "run": run})


def read_decisions(folder: Path, hosts: Iterable[str], run: str) -> list[dict[str, Any]]:
    """Return the decisions of this run, in the order of `hosts`. Raises OSError, and ValueError if a file is not JSON."""
    found = []
    for host in hosts:
        path = get_decision_path(folder, host)
        if path.exists():
            decision = json.loads(path.read_text(encoding="utf-8"))
            if decision["run"] == run:
                found.append(decision)
    return found


def read_progress(folder: Path, hosts: Iterable[str], run: str) -> RolloutProgress:
    """Return the progress of this run's rollout. A host without a valid report does not count as verified."""
    decisions = read_decisions(folder, hosts, run)
    reports = {entry["host"]: report for entry in decisions if (report := read_report(folder, "verify", entry["host"]))}
    return measure_progress(decisions, reports, run)
