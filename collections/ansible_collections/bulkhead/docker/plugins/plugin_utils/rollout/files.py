# SPDX-License-Identifier: GPL-3.0-or-later
"""The notes of a rollout's hosts on the control node, one file a host, beside the reports."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import write
from ..report.read import one
from .batch import Progress, progress


def note_path(folder: Path, host: str) -> Path:
    return folder / f"plan-{host}.json"


def save(folder: Path, note: dict[str, Any], run: str) -> None:
    """Raises OSError."""
    write(note_path(folder, note["host"]), {**note, "run": run})


def notes(folder: Path, hosts: Iterable[str], run: str) -> list[dict[str, Any]]:
    """The notes that this run wrote, in the order of `hosts`. Raises OSError; ValueError for a file that is none."""
    found = []
    for host in hosts:
        path = note_path(folder, host)
        if path.exists():
            note = json.loads(path.read_text(encoding="utf-8"))
            if note["run"] == run:
                found.append(note)
    return found


def come_to(folder: Path, hosts: Iterable[str], run: str) -> Progress:
    """How far the rollout of this run has come. A report that can't be read is none, and its host is not a good one."""
    found = notes(folder, hosts, run)
    reports = {note["host"]: report for note in found if (report := one(folder, "verify", note["host"]))}
    return progress(found, reports, run)
