# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes reports on the control node."""

from __future__ import annotations

import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def write_report(path: Path, report: dict[str, Any], time: datetime | None = None) -> None:
    """Write the report as JSON, with its time (default: now) under `written`. Raises OSError."""
    report["written"] = (time or datetime.now(UTC)).isoformat(timespec="seconds")
    replace_file(path, json.dumps(report, indent=1, default=str) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Replace a file in one step, because others (node_exporter) may read it meanwhile. Raises OSError.

    Another user may own the folder: the draft's name cannot be guessed, and links are not followed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)  # less the umask, as for any new file
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
