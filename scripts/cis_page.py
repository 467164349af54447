# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the tables of docs/cis.md from the catalog of controls (plugin_utils/controls/data).

    cis_page.py            rewrite the page
    cis_page.py --check    change nothing; exit with 1 if the page differs

The tables are the block between two ``<!-- controls -->`` lines.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, "collections")

from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.catalog import Control, Section, load_sections
from generated_block import replace_block, write_or_check

PAGE = Path("docs/cis.md")
MARKER = "<!-- controls -->"


def render_page(text: str) -> str:
    """Return the page with the present tables."""
    return replace_block(text, MARKER, "\n\n".join(render_section(section) for section in load_sections()))


def render_section(section: Section) -> str:
    rows = [f"| {' | '.join(render_control(control))} |" for control in section.controls]
    checked = "\n".join(f"* {source}" for source in section.checked_against)
    head = ["| number | 1.6.0 | level | what | read from | configured by |", "|---|---|---|---|---|---|"]
    return "\n".join(
        [f"### Section {section.number}: {section.title}", "", *head, *rows, "", "Numbers and levels were checked against:", "", checked]
    )


def render_control(control: Control) -> list[str]:
    read = f"manual: {control.manual}" if control.manual else control.read
    by = f"`{control.variable}` ({control.role})" if control.role else control.stays or "-"
    return [control.number, control.number_160 or "-", str(control.level), control.title, read, by]


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, render_page, "the tables differ from the catalog of controls; run python scripts/cis_page.py"))
