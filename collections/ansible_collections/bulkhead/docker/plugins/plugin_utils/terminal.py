# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines for the terminal: wrapped to its width, coloured, and printed as one block, so that parallel hosts do not mix."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from ansible.utils.color import stringc

from .report.text import escape_hidden

WIDTH = 118
# In a play of more hosts, one table per host would hide the hosts that matter.
MANY_HOSTS = 20
Line = tuple[str, str | None]  # text, colour


def wrap_text(prefix: str, text: str, colour: str | None = None) -> list[Line]:
    """Return the text behind the prefix in as many lines as needed, each indented like the first."""
    rows = textwrap.wrap(text, max(20, WIDTH - len(prefix))) or [""]
    return [(prefix + rows[0], colour), *((" " * len(prefix) + row, colour) for row in rows[1:])]


def choose_shown(setting: str, hosts: int) -> str:
    """Return which hosts to show, `all` or `failing`. setting: one of these, or `auto`, which decides by the number of hosts."""
    if setting != "auto":
        return setting
    return "all" if hosts <= MANY_HOSTS else "failing"


def print_lines(display: Any, lines: Iterable[Line]) -> None:
    """Print the lines as one block, with colour where Ansible would use it."""
    escaped = [(escape_hidden(text), colour) for text, colour in lines]  # a container's path or label may contain terminal escapes
    display.display("\n".join(stringc(text, colour) if colour else text for text, colour in escaped))
