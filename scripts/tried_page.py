# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the table of tried versions in docs/support.md from that of the collection (layers/tried_versions.py).

    tried_page.py            rewrite the page
    tried_page.py --check    change nothing; exit with 1 if the page differs

The table is the block between two ``<!-- versions -->`` lines.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, "collections")

from ansible_collections.bulkhead.docker.plugins.module_utils.layers.tried_versions import TRIED
from generated_block import replace_block, write_or_check

PAGE = Path("docs/support.md")
MARKER = "<!-- versions -->"


def render_page(text: str) -> str:
    """Return the page with the present table."""
    rows = [f"| {row.title} | {row.oldest} ({row.oldest_where}) | {row.newest} ({row.newest_where}) |" for row in TRIED]
    return replace_block(text, MARKER, "\n".join(["| component | oldest | newest |", "|---|---|---|", *rows]))


if __name__ == "__main__":
    sys.exit(
        write_or_check(PAGE, render_page, "the table of versions differs from layers/tried_versions.py; run python scripts/tried_page.py")
    )
