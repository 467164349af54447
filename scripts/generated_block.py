# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated block of a page: the text between two lines with the same marker."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


def replace_block(text: str, marker: str, block: str) -> str:
    """Return a page with the block between its two lines `marker` (``<!-- NAME -->``) replaced. Raises ValueError without two such lines."""
    parts = text.split(marker)
    if len(parts) != 3:
        raise ValueError(f"has {len(parts) - 1} lines {marker}; write two, before and after the {marker.strip('<!- >')}")
    return f"{parts[0]}{marker}\n\n{block}\n\n{marker}{parts[2]}"


def write_or_check(page: Path, render: Callable[[str], str], difference: str) -> int:
    """Rewrite a page, or with ``--check`` only compare it. Returns the exit code. difference: what is printed if it differs."""
    text = page.read_text(encoding="utf-8")
    present = render(text)
    if "--check" not in sys.argv:
        page.write_text(present, encoding="utf-8")
    elif present != text:
        print(f"{page}: {difference}")
        return 1
    return 0
