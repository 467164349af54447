# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the plan of a host for the terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..terminal import Line, wrap_text

# States of a layer in a plan.
AS_DESIRED, CHANGE, DISABLED, NOT_APPLICABLE, BLOCKED = "as desired", "change", "disabled", "n/a", "blocked"
STATE_COLOUR = {AS_DESIRED: "green", CHANGE: "yellow", DISABLED: "dark gray", NOT_APPLICABLE: "yellow", BLOCKED: "red"}


def render_plan(host: str, plan: Mapping[str, Any]) -> list[Line]:
    """Return one line per layer with its changes, then the effects on running containers, warnings, notices and blockers."""
    lines: list[Line] = [(f"{host}: planned changes", None)]
    for name, layer in plan["layers"].items():
        state, text = describe_layer(layer)
        lines += wrap_text(f"  {name:<18} ", text, STATE_COLOUR[state])
    for kind, sign, colour in (
        ("effects", ">", "yellow"),
        ("warnings", "!", "bright purple"),
        ("notices", "i", None),
        ("blockers", "x", "red"),
    ):
        for text in plan[kind]:
            lines += wrap_text(f"  {sign} ", text, colour)
    return lines


def describe_layer(layer: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state of a planned layer (a key of STATE_COLOUR) and its description."""
    if layer["requirement"] == "disabled" and not layer["changes"]:
        return DISABLED, DISABLED
    if not layer["applicable"]:
        return NOT_APPLICABLE, f"not applicable: {layer['reason']}"
    if layer["changes"] or layer["with_engine"]:
        steps = [change["summary"] for change in layer["changes"]]
        return CHANGE, "; ".join([*steps, layer["with_engine"]] if layer["with_engine"] else steps)
    return (BLOCKED, "; ".join(layer["blockers"])) if layer.get("blockers") else (AS_DESIRED, AS_DESIRED)
