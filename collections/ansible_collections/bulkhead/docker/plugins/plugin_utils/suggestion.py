# SPDX-License-Identifier: GPL-3.0-or-later
"""What to write instead of a word that is not known, for the end of a message. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def find_similar(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word that is most similar, whatever its case; empty if none is. cutoff: how similar it has to be, from 0 to 1 (difflib)."""
    by_upper = {text.upper(): text for text in known}
    return next((by_upper[found] for found in get_close_matches(str(word).upper(), by_upper, 1, cutoff)), "")


def suggest(word: object, known: Iterable[str], otherwise: str = "", cutoff: float = 0.6) -> str:
    """Return the advice to write the known word that is most similar. If none is, return `otherwise`, or else all known words."""
    words = list(known)
    similar = find_similar(word, words, cutoff)
    return f"write {similar}" if similar else otherwise or f"known are {', '.join(words)}"
