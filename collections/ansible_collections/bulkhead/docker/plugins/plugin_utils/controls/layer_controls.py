# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls that layers and exposures decide: their verdicts are used, not made again. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...module_utils.exposures.kinds import get_finding_id
from ...module_utils.layers.verdict import ABSENT, DEGRADED, ENFORCED
from ...module_utils.layers.verdict import NOT_APPLICABLE as NOT_OF_LAYER
from .verdict import FAIL, NOT_APPLICABLE, PASS, UNKNOWN, ControlOutcome, build_evidence, combine

_STATUS = {ENFORCED: PASS, DEGRADED: FAIL, ABSENT: FAIL, NOT_OF_LAYER: NOT_APPLICABLE}
_NONE_RUNS = ControlOutcome(NOT_APPLICABLE, "no container runs")
MAX_EVIDENCE = 10


def judge_host_layers(names: Sequence[str], verification: Mapping[str, Any], any_layer: bool) -> ControlOutcome:
    """Return the verdict of the host's layers. any_layer: one that is enforced is enough."""
    layers = {layer["layer"]: layer for layer in verification["layers"]}
    parts = [_convert_layer(layers.get(name), name, "") for name in names]
    best = [part for part in parts if part.status == PASS]
    if any_layer and best:
        return best[0]
    return combine(parts[:1] if any_layer else parts)


def judge_container_layers(names: Sequence[str], containers: Sequence[Mapping[str, Any]]) -> ControlOutcome:
    """Return the verdict of the layers of every running container."""
    return _combine_containers(
        [
            (container, name, _convert_layer(_find_layer(container, name), name, container["name"]))
            for container in containers
            for name in names
        ]
    )


def judge_exposure_control(kinds: Sequence[str], containers: Sequence[Mapping[str, Any]]) -> ControlOutcome:
    """Return `fail` if a container has an exposure of these kinds."""
    parts = [(container, "exposures", _judge_container(kinds, container)) for container in containers]
    return _combine_containers(parts)


def _judge_container(kinds: Sequence[str], container: Mapping[str, Any]) -> ControlOutcome:
    name = container["name"]
    granted = [entry for entry in container["exposures"] if entry["kind"] in kinds]
    if granted:
        evidence = [{"source": entry["source"], "value": entry["value"]} for entry in granted]
        found = [{"container": name, "finding": get_finding_id(kind)} for kind in dict.fromkeys(entry["kind"] for entry in granted)]
        return ControlOutcome(FAIL, f"{name}: {'; '.join(entry['text'] for entry in granted)}", evidence, found)
    unread = next((finding["text"] for finding in container["findings"] if finding["id"] == "container.exposures_unknown"), "")
    return ControlOutcome(UNKNOWN, unread) if unread else ControlOutcome(PASS, f"{name}: none")


def _find_layer(container: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((layer for layer in container["layers"] if layer["layer"] == name), None)


def _convert_layer(layer: Mapping[str, Any] | None, name: str, container: str) -> ControlOutcome:
    if layer is None:
        return ControlOutcome(UNKNOWN, f"layer {name} was not judged")
    status = _STATUS.get(layer["status"], UNKNOWN)
    reasons = [finding for finding in layer["findings"] if finding["status"]]
    about = f"layer {name} is {layer['status']}"
    text = f"{about}: {'; '.join(finding['text'] for finding in reasons)}" if reasons and status != PASS else about
    failing = [{"container": container, "finding": finding["id"]} for finding in reasons] or [
        {"container": container, "finding": f"{name}.{layer['status']}"}
    ]
    return ControlOutcome(status, f"{container}: {text}" if container else text, list(layer["evidence"]), failing if status == FAIL else [])


def _combine_containers(parts: Sequence[tuple[Mapping[str, Any], str, ControlOutcome]]) -> ControlOutcome:
    """Return the worst outcome, with the evidence of the containers that have it. If all pass, the reason is their number."""
    if not parts:
        return _NONE_RUNS
    worst = combine([part for unused, unused_name, part in parts])
    names = {container["name"] for container, unused, unused_part in parts}
    if worst.status in (PASS, NOT_APPLICABLE):
        return ControlOutcome(worst.status, f"{_count(len(names))}", list(_list_first(parts)))
    deciding = [(c, n, part) for c, n, part in parts if part.status == worst.status]
    return ControlOutcome(worst.status, worst.reason, list(_list_first(deciding)), worst.findings)


def _list_first(parts: Sequence[tuple[Mapping[str, Any], str, ControlOutcome]]) -> Iterator[dict[str, Any]]:
    """Yield the first piece of evidence of each part, up to a number; the layers have the rest."""
    for container, unused, part in parts[:MAX_EVIDENCE]:
        yield from part.evidence[:1] or build_evidence(f"exposures of {container['name']}", "none")


def _count(number: int) -> str:
    return f"{number} running container{'s' if number > 1 else ''}"
