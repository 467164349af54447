# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines for people: text with a colour, none wider than a terminal. Pure."""

from __future__ import annotations

import textwrap

WIDTH = 118
Line = tuple[str, str | None]  # text, colour


def wrapped(prefix: str, text: str, colour: str | None = None) -> list[Line]:
    """The text behind the prefix, in as many lines as it takes, each indented as the first one."""
    rows = textwrap.wrap(text, max(20, WIDTH - len(prefix))) or [""]
    return [(prefix + rows[0], colour), *((" " * len(prefix) + row, colour) for row in rows[1:])]
