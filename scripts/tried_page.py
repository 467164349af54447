# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the table of tried versions in docs/support.md from that of the collection (layers/tried.py).

    tried_page.py            rewrite the page
    tried_page.py --check    change nothing; exit with 1 if the page differs

The table is the block between two ``<!-- versions -->`` lines.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, "collections")

from ansible_collections.bulkhead.docker.plugins.module_utils.layers.tried import TRIED

PAGE = Path("docs/support.md")
MARKER = "<!-- versions -->"


def render_page(text: str) -> str:
    """Return the page with the present table."""
    head, unused, tail = text.split(f"{MARKER}\n")
    rows = [f"| {row.title} | {row.oldest} ({row.oldest_where}) | {row.newest} ({row.newest_where}) |" for row in TRIED]
    table = "\n".join(["| component | oldest | newest |", "|---|---|---|", *rows])
    return f"{head}{MARKER}\n\n{table}\n\n{MARKER}\n{tail}"


def main() -> int:
    """Write or check the page. Returns the exit code."""
    text = PAGE.read_text(encoding="utf-8")
    page = render_page(text)
    if "--check" not in sys.argv:
        PAGE.write_text(page, encoding="utf-8")
    elif page != text:
        print(f"{PAGE}: the table of versions differs from layers/tried.py; run python scripts/tried_page.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
