# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks attack_matrix_required: how many layers must stop an attack. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.attack import network_catalog
from ...module_utils.attack.catalog import LAYER_NAMES, NAMES
from ..suggestion import suggest

_KNOWN = (*NAMES, *network_catalog.NAMES)


def find_requirement_problems(variable: str, required: Mapping[str, Any]) -> list[str]:
    """Return one message per invalid entry. variable: its name in the messages."""
    found = []
    for name, number in required.items():
        if name not in _KNOWN:
            found.append(f"{variable}: {name!r} is not an attack; {suggest(name, _KNOWN, cutoff=0.5)}")
        elif isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= len(LAYER_NAMES):
            text = f"{variable}.{name}: {number!r} is not a number of layers; write an integer from 0 (nothing is required) to {len(LAYER_NAMES)}"
            found.append(text)
    return found
