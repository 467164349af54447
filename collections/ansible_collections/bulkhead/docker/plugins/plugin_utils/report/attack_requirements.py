# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory demands of the matrix: by how many layers an attack has to be stopped. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from ...module_utils.attack.catalog import LAYER_NAMES, NAMES


def problems(variable: str, required: Mapping[str, Any]) -> list[str]:
    """What is wrong with it, a sentence each that says what to write instead."""
    found = []
    for name, number in required.items():
        if name not in NAMES:
            close = difflib.get_close_matches(str(name), NAMES, 1, 0.5)
            advice = f"did you mean {close[0]}?" if close else f"write any of {', '.join(NAMES)}"
            found.append(f"{variable}: {name!r} is no attack; {advice}")
        elif isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= len(LAYER_NAMES):
            text = f"{variable}.{name}: {number!r} is no number of layers; write a whole number from 0 (nothing is demanded) to {len(LAYER_NAMES)}"
            found.append(text)
    return found
