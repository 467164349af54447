# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of a rollout and what stopped it, from the decisions of its preflight and the reports of its hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.formatting import format_names
from ..report.single import describe_failure
from ..report.text import render_value
from ..terminal import Line, wrap_text
from .decision import INCLUDED
from .preflight import MAX_NAMES

# The number of hosts with details; the fleet report has all.
EXPLAINED = 10


@dataclass
class RolloutProgress:
    """The hosts of a run's rollout.

    failed: its change failed, or it is not verified. incomplete: not completed because another host of its batch failed. lost: became unreachable
    during its change. untouched: not started. batches: those with hosts that are failed, incomplete or lost.
    """

    verified: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    reports: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    batches: list[str] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        return bool(self.failed or self.incomplete or self.lost)


def measure_progress(decisions: Sequence[Mapping[str, Any]], reports: Mapping[str, Mapping[str, Any]], run: str) -> RolloutProgress:
    """Return the progress of a run. decisions, reports: of any run; only those of `run` count."""
    found = RolloutProgress()
    for entry in decisions:
        if entry["run"] != run or entry["decision"] != INCLUDED:
            continue
        host = entry["host"]
        report = reports.get(host, {})
        if report.get("run") != run:
            found.untouched.append(host)
            continue
        found.reports[host] = report
        if not report.get("started") and not report.get("problem"):
            found.verified.append(host)
            continue
        (found.lost if report.get("started") else found.incomplete if report.get("stopped") else found.failed).append(host)
        if entry["batch"] not in found.batches:
            found.batches.append(entry["batch"])
    return found


def render_batch(batch: str, progress: RolloutProgress, folder: str) -> list[Line]:
    """Return one line if all hosts so far are verified; otherwise what stopped the rollout. folder: of the reports."""
    if not progress.stopped:
        total = len(progress.verified) + len(progress.untouched)
        return [(f"Batch {batch} is verified: {len(progress.verified)} of {total} hosts of this rollout", "green")]
    found: list[Line] = [(f"The rollout has stopped in batch {', '.join(progress.batches)}", "red")]
    for host in progress.failed[:EXPLAINED]:
        found += _render_failed_host(host, progress.reports[host], folder)
    if len(progress.failed) > EXPLAINED:
        more = progress.failed[EXPLAINED:]
        found.append((f"  x and on {len(more)} more: {format_names(more, MAX_NAMES)}", "red"))
    for host in progress.lost:
        found += wrap_text(f"  ? {host}: ", "became unreachable during its change; its state is unknown", "red")
    if progress.incomplete:
        names = format_names(progress.incomplete, MAX_NAMES)
        found += wrap_text("  - ", f"not completed, because another host of the batch failed: {names}", "yellow")
    for colour, label, hosts in (("green", "+ verified before", progress.verified), (None, ". not changed", progress.untouched)):
        if hosts:
            found += wrap_text(f"  {label}: ", format_names(hosts, MAX_NAMES), colour)
    found += wrap_text("  ", "Fix this and repeat the same command: hosts that are as desired and verified are skipped")
    return found


def _render_failed_host(host: str, report: Mapping[str, Any], folder: str) -> Iterator[Line]:
    failure = report.get("failure")
    missing = ", ".join(report["not_enforced"])
    yield from wrap_text(f"  x {host}: ", describe_failure(failure) if failure else report["problem"], "red")
    if failure and missing:
        yield from wrap_text("      ", f"required and not enforced: {missing}", "red")
    for layer in report["verification"].get("layers", ()):
        first = layer["evidence"][0] if layer["evidence"] else None
        if first and any(entry.startswith(f"{layer['layer']} (") for entry in report["not_enforced"]):
            yield from wrap_text("      ", f"{layer['layer']}: {render_value(first['value'])}  <- {first['source']}")
    yield f"      evidence in {folder}/verify-{host}.json", None
