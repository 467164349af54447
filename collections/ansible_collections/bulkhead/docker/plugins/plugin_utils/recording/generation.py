# SPDX-License-Identifier: GPL-3.0-or-later
"""What the generators have in common: their result, the stages, the names of profiles and how reasons are written. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.apparmor.names import describe_name_problem
from ...module_utils.formatting import format_names

RECORD, LOG, ENFORCE = STAGES = ("record", "log", "enforce")
# Names of generated profiles begin with it, so that none is a profile of the engine or of the system (apparmor/names.py).
PREFIX = "recorded-"
_LONGEST = 64


@dataclass
class Generated:
    """An entry of a list in the inventory.

    reasons: what is in the entry and why, in the entry's order. notes: what is left out or needs attention, one message each.
    """

    entry: dict[str, Any]
    reasons: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class GenerationError(ValueError):
    """Nothing can be generated; the message names the service, the cause and what to do."""


def name_profile(service: str) -> str:
    """Return the name of a service's profiles. Services that differ have names that differ."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", service)
    if plain == service and describe_name_problem(PREFIX + plain) is None and not plain.endswith(".json"):
        return PREFIX + plain
    digest = hashlib.sha256(service.encode()).hexdigest()[:8]
    return f"{PREFIX}{plain[: _LONGEST - len(PREFIX) - 9]}-{digest}"


def format_count(number: int, noun: str) -> str:
    """Return `1 container` or `3 containers`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shorten_list(words: Collection[str], most: int = 4) -> str:
    """Return a sorted list as text, with `and 3 more` for those after the first ones."""
    return format_names(sorted(words), most)
