# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the recordings of a run for the terminal, and summarizes them for the page of the fleet. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils.seccomp.errnos import name_errno
from ..terminal import Line, wrap_text
from .generated import describe_changes
from .generation import RECORD, format_count, shorten_list
from .model import ACCESS, CALLS
from .outcome import PROPOSED, SUFFIX, ServiceOutcome

_MOST_CHANGES = 40
_MOST_NOTES = 10
_EVENTS = (("starts", "start"), ("stops", "stop"), ("restarts", "restart"), ("execs", "exec"), ("health_checks", "health check"))


def summarize(outcome: ServiceOutcome) -> dict[str, Any]:
    """Return what the page of the fleet shows of a service."""
    recording, reduction = outcome.recording, outcome.reduction
    return {
        "service": outcome.service,
        "stage": outcome.settings.stage,
        "reason": outcome.settings.reason,
        "hosts": list(recording.hosts),
        "first": recording.first,
        "last": recording.last,
        "images": [list(image) for image in recording.images],
        "instances": outcome.gate.coverage.instances,
        "events": {key: getattr(outcome.gate.coverage, key) for key, unused in _EVENTS},
        "calls": len(recording.calls),
        "access": sum(not each.denied for each in recording.access),
        "denied_calls": {
            name: {"count": call.count, "errnos": [name_errno(number) for number in sorted(call.errnos)]}
            for name, call in recording.denied_calls.items()
        },
        "gaps": [{"host": host, "kind": gap.kind, "text": gap.text} for host, gap in recording.gaps],
        "not_recorded": list_unrecorded(outcome),
        "passed": outcome.gate.passed,
        "missing": list(outcome.gate.missing),
        "estimate": outcome.gate.estimate.text,
        "failure": outcome.failure,
        "notes": [*([outcome.warning] if outcome.warning else []), *outcome.notes],
        "reduction": None
        if reduction is None
        else {
            "allowed": reduction.allowed,
            "default_allowed": reduction.default_allowed,
            "removed": reduction.removed,
            "stopped": [
                {"cve": each.cve, "title": each.title, "url": each.url, "lacks": lacks} for each, lacks in reduction.stopped.items()
            ],
            "already": len(reduction.already),
        },
    }


def list_unrecorded(outcome: ServiceOutcome) -> list[str]:
    """Return one message per host and kind (calls, access) that is not recorded there."""
    return [
        f"{host}: {'calls are' if kind == CALLS else 'access is'} not recorded ({source.reason or source.status})"
        for host, sources in outcome.recording.sources.items()
        for kind in (CALLS, ACCESS)
        if (source := sources.get(kind)) and source.status != "recording"
    ]


def render_services(outcomes: Sequence[ServiceOutcome], former: Mapping[str, Mapping[str, str]], show_all: bool) -> list[Line]:
    """Return the lines of all services. former: service -> end of a file's name -> the text that it had."""
    lines: list[Line] = [(f"Recordings: {format_count(len(outcomes), 'service')}", None)]
    for outcome in outcomes:
        if show_all or outcome.failure or not outcome.gate.passed:
            lines += _render_service(outcome, former.get(outcome.service, {}), show_all)
    return lines


def _render_service(outcome: ServiceOutcome, former: Mapping[str, str], show_all: bool) -> list[Line]:
    recording, gate = outcome.recording, outcome.gate
    events = ", ".join(format_count(number, noun) for key, noun in _EVENTS if (number := getattr(gate.coverage, key)))
    colour = "red" if outcome.failure else "green" if gate.passed else "yellow"
    lines: list[Line] = [(f"  {outcome.service}: stage {outcome.settings.stage}, gate {'passed' if gate.passed else 'not passed'}", colour)]
    lines += wrap_text(
        "      recorded: ",
        f"{recording.first} to {recording.last} on {shorten_list(recording.hosts)}: {format_count(gate.coverage.instances, 'container')}, "
        f"{events or 'no event'}; {format_count(len(recording.calls), 'call')}, {len(recording.access)} different accesses",
    )
    if outcome.reduction:
        gone = outcome.reduction
        lines += wrap_text(
            "      enforced: ",
            f"{gone.allowed} of the {gone.default_allowed} calls that the engine's default allows; "
            f"attacks on {len(gone.stopped)} more known vulnerabilities would be stopped",
        )
    if outcome.failure:
        lines += wrap_text("      ! ", outcome.failure, "red")
    if outcome.warning:
        lines += wrap_text("      ! ", outcome.warning, "yellow")
    for text in [*list_unrecorded(outcome), *(gate.missing if not outcome.failure and not outcome.warning else ())]:
        lines += wrap_text("      - ", text, "yellow")
    lines += wrap_text("      unseen: ", gate.estimate.text)
    if show_all:
        for text in outcome.notes[:_MOST_NOTES]:
            lines += wrap_text("      note: ", text)
        lines += _render_changes(outcome, former)
    return lines


def _render_changes(outcome: ServiceOutcome, former: Mapping[str, str]) -> list[Line]:
    """Return how the generated entries change, each line with its reason."""
    suffix = PROPOSED if outcome.settings.stage == RECORD else SUFFIX
    if suffix not in outcome.texts:
        return []
    changes = describe_changes(former.get(suffix), outcome.texts[suffix])
    if not changes:
        return []
    lines: list[Line] = [(f"      {outcome.service}{suffix}:", None)]
    for text in changes[:_MOST_CHANGES]:
        lines += wrap_text("        ", text, "green" if text.startswith("+") else "red")
    if len(changes) > _MOST_CHANGES:
        lines.append((f"        and {len(changes) - _MOST_CHANGES} more lines", None))
    return lines
