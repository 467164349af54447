# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the list of keys in docs/what-stops-working.md from the table of effects (planning/key_effects.py).

    effects_page.py            rewrite the page
    effects_page.py --check    change nothing; exit with 1 if the page differs

The list is the block between two ``<!-- keys -->`` lines.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

sys.path.insert(0, "collections")

from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import key_effects
from generated_block import replace_block, write_or_check

PAGE = Path("docs/what-stops-working.md")
MARKER = "<!-- keys -->"
MOMENTS = {
    key_effects.AT_ONCE: "at once",
    key_effects.AT_START: "at the next start",
    key_effects.AT_CREATION: "new containers only",
    key_effects.AT_BRIDGE: "default bridge",
}


def render_row(row: key_effects.KeyEffect) -> str:
    """Return one row of the table as a list item."""
    key = f"`{row.key}: {str(row.strict).lower()}`" if row.stops else f"`{row.key}`"
    text = f"{key} ({MOMENTS[row.moment]}): {row.stops or row.text}. Instead: {row.remedy}."
    return "\n".join(textwrap.wrap(text, 100, initial_indent="* ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def render_page(text: str) -> str:
    """Return the page with the present list."""
    return replace_block(text, MARKER, "\n".join(render_row(row) for row in sorted(key_effects.ROWS, key=lambda row: row.key)))


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, render_page, "the list of keys differs from the table of effects; run python scripts/effects_page.py"))
