# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for people: what will happen on a host, and what was verified there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..lines import WIDTH, Line, wrapped

# Not by colour alone: each status has a sign of its own.
SIGN = {"enforced": "+", "degraded": "!", "absent": "x", "unknown": "?", "not_applicable": "-"}
_COLOUR = {"enforced": "green", "degraded": "yellow", "absent": "red", "unknown": "yellow", "not_applicable": "dark gray"}

# What a plan makes of a layer.
AS_WANTED, CHANGE, DISABLED, CANNOT, REFUSED = "as desired", "change", "disabled", "cannot", "refused"
STATE_COLOUR = {AS_WANTED: "green", CHANGE: "yellow", DISABLED: "dark gray", CANNOT: "yellow", REFUSED: "red"}


def plan_lines(host: str, plan: Mapping[str, Any]) -> list[Line]:
    """A line a layer with what would change, then warnings, notices, and what containers will feel."""
    lines: list[Line] = [(f"{host}: what will happen", None)]
    for name, layer in plan["layers"].items():
        state, what = layer_state(layer)
        lines += wrapped(f"  {name:<18} ", what, STATE_COLOUR[state])
    for kind, sign, colour in (
        ("effects", ">", "yellow"),
        ("warnings", "!", "bright purple"),
        ("notices", "i", None),
        ("blockers", "x", "red"),
    ):
        for text in plan[kind]:
            lines += wrapped(f"  {sign} ", text, colour)
    return lines


def layer_state(layer: Mapping[str, Any]) -> tuple[str, str]:
    """What a plan makes of a layer, in a word of STATE_COLOUR, and in full."""
    if layer["requirement"] == "disabled" and not layer["changes"]:
        return DISABLED, DISABLED
    if not layer["applicable"]:
        return CANNOT, f"not applicable: {layer['reason']}"
    if layer["changes"] or layer["with_engine"]:
        steps = [change["summary"] for change in layer["changes"]]
        return CHANGE, "; ".join([*steps, layer["with_engine"]] if layer["with_engine"] else steps)
    return (REFUSED, "; ".join(layer["blockers"])) if layer.get("blockers") else (AS_WANTED, AS_WANTED)


def verification_lines(host: str, verification: Mapping[str, Any]) -> list[Line]:
    """A line a layer with its first evidence, a line a finding, then containers that differ from the host's defaults."""
    about = verification.get("host", {})
    title = f"{host}: {about.get('distribution_name')}, kernel {about.get('kernel')}, engine {about.get('version') or 'not running'}"
    lines: list[Line] = [(title, None)]
    for layer in verification["layers"]:
        colour = _COLOUR[layer["status"]]
        first = layer["evidence"][0] if layer["evidence"] else None
        seen = f"{_short(first['value'])}  <- {first['source']}" if first else ""
        line = f"  {SIGN[layer['status']]} {layer['layer']:<18} {layer['status']:<15} {seen}"
        lines.append((line if len(line) <= WIDTH else line[: WIDTH - 1] + "…", colour))
        for finding in layer["findings"]:
            lines += wrapped("      ", finding["text"], colour if finding["status"] else None)
            if finding["status"] and finding["remedy"]:
                lines += wrapped("      -> ", finding["remedy"], None)
    for engine in verification.get("engines", ()):
        if "layers" in engine:
            lines += _beside(engine)
    for finding in verification.get("findings", ()):
        lines += wrapped("  ! ", finding["text"], "red")
    containers = verification.get("containers", ())
    if containers:
        lines.append((f"  {len(containers)} running container{'s' if len(containers) > 1 else ''}", None))
    for container in containers:
        demands = container.get("settings", ())
        if demands and all(d["status"] == "enforced" for d in demands):
            lines.append((f"  + {container['name']}: all {len(demands)} settings of hardened_container hold", "green"))
        for text in container_notes(container):
            lines += wrapped(f"  ! {container['name']}: ", text, "yellow")
    return lines


def _beside(engine: Mapping[str, Any]) -> list[Line]:
    """An engine beside the desired one: what its defaults are, and which of its containers differ from them."""
    held = ", ".join(f"{layer['layer']} {layer['status']}" for layer in engine["layers"])
    lines = wrapped("  i ", f"beside, {engine['kind']} engine of {engine['user']}: {held}", None)
    for container in engine["containers"]:
        for text in container_notes(container):
            lines += wrapped(f"    {container['name']}: ", text, None)
    return lines


def container_notes(container: Mapping[str, Any]) -> list[str]:
    """What a person should know of one running container: layers it is without, words that differ, dangerous gifts."""
    notes = [f"opted out of {', '.join(container['opted_out'])}"] if container["opted_out"] else []
    notes += container["disagreements"]
    notes += [finding["text"] for finding in container["findings"]]
    notes += [
        f"{d['setting']} is {d['seen']} and not {d['expected']} ({d['source']})"
        for d in container.get("settings", ())
        if d["status"] != "enforced"
    ]
    for layer in container["layers"]:
        if layer["layer"] in container["opted_out"] or layer["layer"] in ("read_only_root", "non_root_user"):
            continue
        notes += [finding["text"] for finding in layer["findings"] if finding["status"]]
    return list(dict.fromkeys(notes))


def not_enforced(verification: Mapping[str, Any], forgive_unknown: bool = False, only: Collection[str] | None = None) -> list[str]:
    """The required layers that do not hold, as `layer (status)`. An unknown one does not hold, unless that is forgiven (check mode).

    only: what a run that is about some layers may demand: these, and nothing of single containers.
    """
    good = {"enforced"} | ({"unknown"} if forgive_unknown else set())
    layers = [
        f"{v['layer']} ({v['status']})"
        for v in verification["layers"]
        if v["requirement"] == "required" and v["status"] not in good and (only is None or v["layer"] in only)
    ]
    if only is not None:
        return layers
    containers = [
        f"container {c['name']}: {d['setting']} ({d['status']})"
        for c in verification.get("containers", ())
        for d in c.get("settings", ())
        if d["status"] not in good
    ]
    missing = [f["text"] for f in verification.get("findings", ()) if f["id"] == "container.not_running"]
    return layers + containers + missing


def _short(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return ", ".join(" ".join(str(n) for n in row) for row in value)
    return str(value)
