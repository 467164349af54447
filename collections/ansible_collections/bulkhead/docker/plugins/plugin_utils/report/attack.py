# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack matrix of a fleet, from the `attack-HOST.json` of its hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .fleet import Fleet


@dataclass
class Matrix:
    """hosts: those that were attacked."""

    hosts: list[dict[str, Any]] = field(default_factory=list)


def matrix(fleet: Fleet) -> Matrix:
    return Matrix()
