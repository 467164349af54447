# SPDX-License-Identifier: GPL-3.0-or-later
"""Coloured lines on the terminal, one block at a time, so that hosts running side by side do not mix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible.utils.color import stringc

from .report.text import visible

# With more hosts than this in a play, a table for each would bury the ones that matter.
MANY = 20


def chosen(how: str, hosts: int) -> str:
    """Whether to show `all` hosts, or only those that are `failing`; `auto` leaves it to how many there are."""
    if how != "auto":
        return how
    return "all" if hosts <= MANY else "failing"


def show(display: Any, lines: Iterable[tuple[str, str | None]]) -> None:
    """Print `(text, colour)` lines as one block; colour only where Ansible would use it."""
    shown = [(visible(text), colour) for text, colour in lines]  # a path or a label of a container's may hold terminal escapes
    display.display("\n".join(stringc(text, colour) if colour else text for text, colour in shown))
