# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the maps, programs and links that count denials are pinned. Their folder's name begins with the version of the maps' layout."""

from __future__ import annotations

import os

from . import layout

PINS = "/sys/fs/bpf/bulkhead/denials"
_LAST = f"link_{layout.TRACEPOINTS[-1]}"


class CountersError(Exception):
    """Denials cannot be counted; the message has the cause and what to do."""


def find_counter_pins() -> str | None:
    """Return the folder of pins that this version can read; None if nothing is loaded, or only another version."""
    try:
        names = os.listdir(PINS)
    except OSError:
        return None
    found = (f"{PINS}/{name}" for name in sorted(names) if name.startswith(f"{layout.VERSION}-"))
    return next((folder for folder in found if is_complete(folder)), None)


def is_complete(folder: str) -> bool:
    """Return whether everything is attached; the last pin says so."""
    return os.path.exists(f"{folder}/{_LAST}")
