# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the verification of a host for the terminal, and lists what is not enforced. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ...module_utils.layers.registry import PER_SERVICE
from ..terminal import WIDTH, Line, wrap_text
from .text import render_value

# Each status has its own sign, for readers who do not see colours.
SIGN = {"enforced": "+", "degraded": "!", "absent": "x", "unknown": "?", "not_applicable": "-"}
_COLOUR = {"enforced": "green", "degraded": "yellow", "absent": "red", "unknown": "yellow", "not_applicable": "dark gray"}


def render_verification(host: str, verification: Mapping[str, Any]) -> list[Line]:
    """Return one line per layer with its first evidence, one per finding, then the containers that differ from the host's defaults."""
    about = verification.get("host", {})
    title = f"{host}: {about.get('distribution_name')}, kernel {about.get('kernel')}, engine {about.get('version') or 'not running'}"
    lines: list[Line] = [(title, None)]
    for layer in verification["layers"]:
        colour = _COLOUR[layer["status"]]
        first = layer["evidence"][0] if layer["evidence"] else None
        evidence = f"{_render_evidence(first['value'])}  <- {first['source']}" if first else ""
        line = f"  {SIGN[layer['status']]} {layer['layer']:<18} {layer['status']:<15} {evidence}"
        lines.append((line if len(line) <= WIDTH else line[: WIDTH - 1] + "…", colour))
        for finding in layer["findings"]:
            lines += wrap_text("      ", finding["text"], colour if finding["status"] else None)
            if finding["status"] and finding["remedy"]:
                lines += wrap_text("      -> ", finding["remedy"], None)
    for engine in verification.get("engines", ()):
        if "layers" in engine:
            lines += _render_other_engine(engine)
    for finding in verification.get("findings", ()):
        lines += wrap_text("  ! ", finding["text"], "red")
    containers = verification.get("containers", ())
    if containers:
        lines.append((f"  {len(containers)} running container{'s' if len(containers) > 1 else ''}", None))
    for container in containers:
        settings = container.get("settings", ())
        if settings and all(setting["status"] == "enforced" for setting in settings):
            lines.append((f"  + {container['name']}: all {len(settings)} settings of hardened_container are enforced", "green"))
        for text in list_container_notes(container):
            lines += wrap_text(f"  ! {container['name']}: ", text, "yellow")
    return lines


def _render_other_engine(engine: Mapping[str, Any]) -> list[Line]:
    """Return the defaults of an engine that the inventory does not select, and its containers that differ from them."""
    layers = ", ".join(f"{layer['layer']} {layer['status']}" for layer in engine["layers"])
    lines = wrap_text("  i ", f"other engine, {engine['kind']} of {engine['user']}: {layers}", None)
    for container in engine["containers"]:
        for text in list_container_notes(container):
            lines += wrap_text(f"    {container['name']}: ", text, None)
    return lines


def list_container_notes(container: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of one running container: layers it opted out of, disagreements, exposures, settings that are not enforced."""
    notes = [f"opted out of {', '.join(container['opted_out'])}"] if container["opted_out"] else []
    notes += container["disagreements"]
    notes += [finding["text"] for finding in container["findings"]]
    notes += [
        f"{setting['setting']} is {setting['seen']} and not {setting['expected']} ({setting['source']})"
        for setting in container.get("settings", ())
        if setting["status"] != "enforced"
    ]
    for layer in container["layers"]:
        if layer["layer"] in container["opted_out"] or layer["layer"] in PER_SERVICE:
            continue
        notes += [finding["text"] for finding in layer["findings"] if finding["status"]]
    return list(dict.fromkeys(notes))


def list_unenforced(verification: Mapping[str, Any], accept_unknown: bool = False, only: Collection[str] | None = None) -> list[str]:
    """Return the required layers and settings that are not enforced, each as `layer (status)`.

    accept_unknown: accept an unknown status (check mode). only: the layers of a run that selected some; settings of containers are then not required.
    """
    accepted = {"enforced"} | ({"unknown"} if accept_unknown else set())
    layers = [
        f"{layer['layer']} ({layer['status']})"
        for layer in verification["layers"]
        if layer["requirement"] == "required" and layer["status"] not in accepted and (only is None or layer["layer"] in only)
    ]
    if only is not None:
        return layers
    settings = [
        f"container {container['name']}: {setting['setting']} ({setting['status']})"
        for container in verification.get("containers", ())
        for setting in container.get("settings", ())
        if setting["status"] not in accepted
    ]
    missing = [finding["text"] for finding in verification.get("findings", ()) if finding["id"] == "container.not_running"]
    return layers + settings + missing


def _render_evidence(value: Any) -> str:
    return render_value(value) if isinstance(value, list) and value and isinstance(value[0], list) else str(value)
