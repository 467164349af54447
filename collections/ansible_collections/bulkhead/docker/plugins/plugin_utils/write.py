# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on the control node."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def write(path: Path, report: dict[str, Any], made: datetime | None = None) -> None:
    """The report as JSON, with the time: now, unless it was made earlier."""
    report["written"] = (made or datetime.now(UTC)).isoformat(timespec="seconds")
    replace(path, json.dumps(report, indent=1, default=str) + "\n")


def replace(path: Path, text: str) -> None:
    """Old or new, never half: a report may be read while a fleet is under way, by node_exporter for one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
