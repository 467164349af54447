# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the verification of a host for the terminal, and lists what is not enforced. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ...module_utils.exposures.kinds import KINDS, get_finding_id
from ...module_utils.formatting import format_names
from ...module_utils.layers.registry import PER_SERVICE
from ...module_utils.layers.usage import OBSERVED, describe_peak
from ..controls.requirement import FAILING
from ..controls.verdict import STATUSES
from ..terminal import WIDTH, Line, wrap_text
from .policy import (
    ALLOWED,
    EXPOSED,
    LISTED,
    NOT_READ,
    REPORTED,
    UNKNOWN_FINDING,
    UNKNOWN_KIND,
    WAIVED,
    Granted,
    Judgement,
    group_granted,
    list_judged_containers,
)
from .text import render_value

# Each status has its own sign, for readers who do not see colours.
SIGN = {"enforced": "+", "degraded": "!", "absent": "x", "unknown": "?", "not_applicable": "-"}
# States of an exposure.
STATE_SIGN = {EXPOSED: "x", NOT_READ: "?", REPORTED: "!", WAIVED: "~", ALLOWED: "i", LISTED: "i"}
# The number of exposures of one kind that are written out for one container.
MAX_ENTRIES = 5
_STATE_COLOUR = {EXPOSED: "red", NOT_READ: "red", REPORTED: "yellow"}
_COLOUR = {"enforced": "green", "degraded": "yellow", "absent": "red", "unknown": "yellow", "not_applicable": "dark gray"}


def render_verification(host: str, verification: Mapping[str, Any], judgement: Judgement | None = None) -> list[Line]:
    """Return one line per layer with its first evidence, one per finding, then what is granted to containers, and where they differ from the host.

    judgement: of the verification under the inventory's policy.
    """
    judged = judgement or Judgement()
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
            waiver = judged.get_waiver(finding["id"])
            lines += wrap_text("      ", finding["text"], colour if finding["status"] and not waiver else None)
            if waiver:
                lines += wrap_text("      ~ ", waiver.describe())
            elif finding["status"] and finding["remedy"]:
                lines += wrap_text("      -> ", finding["remedy"], None)
    for text in verification.get("untried", ()):
        lines += wrap_text("  i ", text, None)
    for engine in verification.get("engines", ()):
        if "layers" in engine:
            lines += _render_other_engine(engine)
    for finding in verification.get("findings", ()):
        waiver = judged.get_waiver(finding["id"])
        lines += wrap_text("  ~ ", f"{finding['text']} ({waiver.describe()})") if waiver else wrap_text("  ! ", finding["text"], "red")
    containers = list_judged_containers(verification)
    if containers:
        lines.append((f"  {len(containers)} running container{'s' if len(containers) > 1 else ''}", None))
    for container in containers:
        settings = container.get("settings", ())
        if settings and all(setting["status"] == "enforced" for setting in settings):
            peak = describe_peak(container.get("usage", {}))
            text = f"all {len(settings)} settings of hardened_container are enforced" + (f"; {peak}" if peak else "")
            lines.append((f"  + {container['name']}: {text}", "green"))
    lines += _render_granted(judged.granted)
    lines += _render_controls(judged)
    for name, kind in judged.unused:
        lines += wrap_text(f"  i {name}: ", f"{kind} is allowed (allow_exposures) and not present; remove it from hardened_container_list")
    return lines + list(_render_notes(containers, judged))


def describe_granted(first: Granted, names: Sequence[str]) -> str:
    """Return one kind of exposure with its containers: `engine_socket, forbidden: web, proxy: its processes can command the engine`."""
    state = {EXPOSED: ", forbidden", WAIVED: f", {first.waiver.describe()}" if first.waiver else "", ALLOWED: ", allowed"}.get(
        first.state, ""
    )
    meaning = KINDS[first.kind].meaning if first.kind in KINDS else first.text
    if first.kind == UNKNOWN_KIND:
        return f"unknown exposures{state}: {format_names(names)}, such as: {meaning}"
    return f"{first.kind}{state}: {format_names(names)}: {meaning}"


def _render_granted(granted: Sequence[Granted]) -> Iterator[Line]:
    """Yield one line per kind of exposure. A single container's are written out, with sources. Kinds that are only notes are on the page."""
    for first, names in group_granted([entry for entry in granted if entry.state != LISTED]):
        yield from wrap_text(f"  {STATE_SIGN[first.state]} ", describe_granted(first, names), _STATE_COLOUR.get(first.state))
        if first.state in (EXPOSED, REPORTED):
            if len(names) == 1:
                for entry in first.entries[:MAX_ENTRIES]:
                    yield from wrap_text("      ", f"{entry['text']}  <- {entry['source']}")
                if len(first.entries) > MAX_ENTRIES:
                    yield f"      and {len(first.entries) - MAX_ENTRIES} more", None
            if first.remedy:
                yield from wrap_text("      -> ", first.remedy)


def _render_controls(judgement: Judgement) -> Iterator[Line]:
    """Yield the number of controls by status, and a line per required control that does not pass."""
    if not judgement.controls:
        return
    counts = Counter(control["status"] for control in judgement.controls)
    text = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    yield from wrap_text("  i ", f"controls of the CIS Docker Benchmark: {text}")
    for control in judgement.controls:
        if control["control"] in judgement.policy.required and control["status"] in FAILING:
            yield from wrap_text("  x ", f"{control['control']}, required, is {control['status']}: {control['reason']}", "red")
            yield from wrap_text("      -> ", control["remedy"])


def _render_notes(containers: Sequence[Mapping[str, Any]], judgement: Judgement) -> Iterator[Line]:
    """Yield one line per note. The same kind of note on many containers is one line with their names."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for container in containers:
        for kind, text in _find_notes(container, judgement):
            groups.setdefault(kind, []).append((container["name"], text))
    for kind, found in groups.items():
        sign, colour = ("~", None) if kind.endswith(_WAIVED) else ("i" if kind in OBSERVED else "!", "yellow")
        names = list(dict.fromkeys(name for name, unused in found))
        if len(names) == 1:
            for name, text in found:
                yield from wrap_text(f"  {sign} {name}: ", text, colour)
        else:
            texts = {text for unused, text in found}
            same = found[0][1] if len(texts) == 1 else f"{kind}, such as: {found[0][1]}"
            yield from wrap_text(f"  {sign} {format_names(names)}: ", same, colour)


def _render_other_engine(engine: Mapping[str, Any]) -> list[Line]:
    """Return the defaults of an engine that the inventory does not select, and its containers that differ from them."""
    layers = ", ".join(f"{layer['layer']} {layer['status']}" for layer in engine["layers"])
    lines = wrap_text("  i ", f"other engine, {engine['kind']} of {engine['user']}: {layers}", None)
    for container in engine["containers"]:
        for text in dict.fromkeys([*list_container_notes(container), *(finding["text"] for finding in container["findings"])]):
            lines += wrap_text(f"    {container['name']}: ", text, None)
    return lines


# Ends the kind of a note that is waived.
_WAIVED = "waived"


def list_container_notes(container: Mapping[str, Any], judgement: Judgement | None = None) -> list[str]:
    """Return what a reader must know of one running container: layers it opted out of, disagreements, settings that are not enforced, limits it reached.

    Its exposures are not among them (`describe_granted`).
    """
    notes = [f"opted out of {', '.join(container['opted_out'])}"] if container["opted_out"] else []
    found = _find_notes(container, judgement or Judgement())
    return list(dict.fromkeys([*notes, *(text for kind, text in found if not kind.startswith("opted out"))]))


def _find_notes(container: Mapping[str, Any], judgement: Judgement) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each note. The kind is the same for the same thing on other containers."""
    for layer in container["opted_out"]:
        yield f"opted out of {layer}", f"opted out of {layer}"
    for text in container["disagreements"]:
        yield f"disagreement about {text.partition(': ')[0]}", text
    exposures = {UNKNOWN_FINDING, *(get_finding_id(kind) for kind in KINDS)}
    pairs = [(finding["id"], finding["text"]) for finding in container["findings"] if finding["id"] not in exposures]
    pairs += [
        (f"demand.{setting['setting']}", f"{setting['setting']} is {setting['seen']} and not {setting['expected']} ({setting['source']})")
        for setting in container.get("settings", ())
        if setting["status"] != "enforced"
    ]
    for layer in container["layers"]:
        if layer["layer"] not in container["opted_out"] and layer["layer"] not in PER_SERVICE:
            pairs += [(finding["id"], finding["text"]) for finding in layer["findings"] if finding["status"]]
    # Without any evidence of the container, every layer has the same finding.
    first: dict[str, str] = {}
    for identifier, text in pairs:
        first.setdefault(text, identifier)
    for text, identifier in first.items():
        waiver = judgement.get_waiver(identifier, container["name"])
        yield (f"{identifier} {_WAIVED}", f"{text} ({waiver.describe()})") if waiver else (identifier, text)


def list_unenforced(
    verification: Mapping[str, Any], accept_unknown: bool = False, only: Collection[str] | None = None, judgement: Judgement | None = None
) -> list[str]:
    """Return the required layers and settings that are not enforced, each as `layer (status)`.

    accept_unknown: accept an unknown status (check mode). only: the layers of a run that selected some; settings of containers are then not required.
    judgement: what it waives is left out; None: nothing is waived.
    """
    judged = judgement or Judgement()
    accepted = {"enforced"} | ({"unknown"} if accept_unknown else set())
    layers = [
        f"{layer['layer']} ({layer['status']})"
        for layer in verification["layers"]
        if layer["requirement"] == "required"
        and layer["status"] not in accepted
        and (only is None or layer["layer"] in only)
        and layer["layer"] not in judged.waived_layers
    ]
    if only is not None:
        return layers
    settings = [
        f"container {container['name']}: {setting['setting']} ({setting['status']})"
        for container in verification.get("containers", ())
        for setting in container.get("settings", ())
        if setting["status"] not in accepted and not judged.get_waiver(f"demand.{setting['setting']}", container["name"])
    ]
    missing = [
        finding["text"]
        for finding in verification.get("findings", ())
        if finding["id"] == "container.not_running" and not judged.get_waiver(finding["id"])
    ]
    return layers + settings + missing


def _render_evidence(value: Any) -> str:
    return render_value(value) if isinstance(value, list) and value and isinstance(value[0], list) else str(value)
