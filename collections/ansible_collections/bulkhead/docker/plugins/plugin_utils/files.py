# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on the control node."""

from __future__ import annotations

import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def write(path: Path, report: dict[str, Any], made: datetime | None = None) -> None:
    """The report as JSON, with the time: now, unless it was made earlier."""
    report["written"] = (made or datetime.now(UTC)).isoformat(timespec="seconds")
    replace(path, json.dumps(report, indent=1, default=str) + "\n")


def replace(path: Path, text: str) -> None:
    """Old or new, never half: a report may be read while a fleet is under way, by node_exporter for one.

    The folder may be another user's, node_exporter's for one: the draft has a name that nobody knows, and no link is followed.
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
