# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the journals of transactions (transaction.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..host.root import STATE_DIR, Host

OPEN, COMMITTED, UNDONE, LEFT = "open", "committed", "undone", "left"


def get_base(host: Host) -> Path:
    """Return the folder of all transactions."""
    return host.path(f"{STATE_DIR}/transactions")


def read_journals(host: Host) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield folder and journal of each transaction, the newest first."""
    base = get_base(host)
    for folder in sorted(base.iterdir(), reverse=True) if base.is_dir() else []:
        try:
            journal = json.loads((folder / "journal.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # interrupted before its journal was written, so before any change
        yield folder, journal


def list_open_ids(host: Host) -> list[str]:
    """Return the IDs of the changes of interrupted runs, the newest first."""
    return [folder.name for folder, journal in read_journals(host) if journal.get("state") == OPEN]
