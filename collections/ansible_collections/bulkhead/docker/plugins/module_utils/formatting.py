# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for messages: sizes, names, and what an engine holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Key of an engine's contents -> the word for one of them.
KINDS = (("images", "image"), ("containers", "container"), ("volumes", "volume"), ("networks", "network"))
SHOWN = 5


def format_contents(contents: Mapping[str, Any]) -> str:
    """Return `3 images (nginx:1, redis:7, app:2; 1.2 GB), 2 containers (web running, db exited)`; empty when there is nothing."""
    return ", ".join(_format_kind(contents.get(kind) or [], noun) for kind, noun in KINDS if contents.get(kind))


def format_size(size: int) -> str:
    """Return bytes with a unit, in powers of 1000 as the engine's own tables."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def format_name(name: str) -> str:
    """Return a name that fits a sentence: the first twelve digits of an anonymous volume's name, at most 40 characters of others."""
    if len(name) == 64 and set(name) <= set("0123456789abcdef"):
        return name[:12]
    return name if len(name) <= 40 else f"{name[:39]}…"


def format_names(names: Sequence[str], most: int = SHOWN) -> str:
    """Return up to `most` names with commas, then `and 3 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _format_kind(entries: Sequence[Mapping[str, Any]], noun: str) -> str:
    names = [" ".join(filter(None, (format_name(entry["name"]), entry.get("state")))) for entry in entries[:SHOWN]]
    if len(entries) > SHOWN:
        names.append(f"and {len(entries) - SHOWN} more")
    sizes = [entry["bytes"] for entry in entries if entry.get("bytes") is not None]
    size = f"; {format_size(sum(sizes))}" if sizes else ""
    return f"{len(entries)} {noun}{'' if len(entries) == 1 else 's'} ({', '.join(names)}{size})"
