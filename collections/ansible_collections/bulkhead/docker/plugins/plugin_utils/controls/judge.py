# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges all controls of one host: layers and exposures decide those that they cover, functions of this package the rest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from . import containers, engine, files, host, images, swarm
from .catalog import Control, load_controls
from .layer_controls import judge_container_layers, judge_exposure_control, judge_host_layers
from .verdict import MANUAL, NOT_APPLICABLE, UNKNOWN, ControlOutcome, Facts, MissingFact, build_evidence, combine

_MODULES: tuple[ModuleType, ...] = (host, engine, files, images, containers, swarm)
_HOST_SECTIONS = ("1", "2", "3")
_SWARM = "7"


def judge_controls(
    evidence: Mapping[str, Any], verification: Mapping[str, Any], expect: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return every control with its status. verification: `layers` and `containers` of the same evidence. expect: as for them."""
    facts = Facts(evidence, verification, expect or {})
    return [_describe(control, _judge_control(control, facts)) for control in load_controls().values()]


def find_judge(name: str) -> Callable[[Control, Facts], ControlOutcome]:
    """Return the function `judge_NAME` of this package. Raises LookupError."""
    found = [getattr(module, f"judge_{name}") for module in _MODULES if hasattr(module, f"judge_{name}")]
    if len(found) != 1:
        raise LookupError(f"{len(found)} functions judge_{name}")
    return found[0]


def _judge_control(control: Control, facts: Facts) -> ControlOutcome:
    """Return the worst of its parts. A judge that fails makes its control unknown, and no other."""
    try:
        if control.section == _SWARM and not facts.get("swarm")["active"]:
            return ControlOutcome(NOT_APPLICABLE, "swarm mode is off", build_evidence("docker info (Swarm)", "inactive"))
        if control.manual:
            return ControlOutcome(MANUAL, control.manual)
        return combine(_judge_part(part, control, facts) for part in ("layers", "exposures", "judge") if getattr(control, part))
    except MissingFact as missing:
        return ControlOutcome(UNKNOWN, str(missing))


def _judge_part(part: str, control: Control, facts: Facts) -> ControlOutcome:
    try:
        if part == "exposures":
            return judge_exposure_control(control.exposures, facts.verification["containers"])
        if part == "judge":
            return find_judge(control.judge)(control, facts)
        if control.section in _HOST_SECTIONS:
            return judge_host_layers(control.layers, facts.verification, control.any_layer)
        return judge_container_layers(control.layers, facts.verification["containers"])
    except MissingFact as missing:
        return ControlOutcome(UNKNOWN, str(missing))
    except Exception as error:  # evidence that no judge expects
        return ControlOutcome(UNKNOWN, f"the evidence could not be judged: {type(error).__name__}: {error}")


def _describe(control: Control, outcome: ControlOutcome) -> dict[str, Any]:
    return {
        "control": control.id,
        "level": control.level,
        "title": control.title,
        "status": outcome.status,
        "reason": outcome.reason,
        "remedy": control.remedy,
        "evidence": outcome.evidence,
        "findings": outcome.findings,
    }
