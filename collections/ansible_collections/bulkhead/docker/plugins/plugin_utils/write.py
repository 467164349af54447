# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on the control node."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def write(path: Path, report: dict[str, Any]) -> None:
    """The report as JSON, with the time. Old or new, never half: it may be read while a fleet is under way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report["written"] = datetime.now(UTC).isoformat(timespec="seconds")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    draft.replace(path)
