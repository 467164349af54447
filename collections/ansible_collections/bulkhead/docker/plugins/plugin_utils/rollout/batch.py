# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rollout has come, and what stopped it: from the notes of its preflight and the reports of its hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..lines import Line, wrapped
from ..report import single
from ..report.text import words
from .decision import TAKE
from .preflight import names

# So many hosts are explained; the report of the fleet has them all.
EXPLAINED = 10


@dataclass
class Progress:
    """Hosts that this run was to change. failed: something went wrong there, or it was not verified. stopped: another host of its batch failed before
    it was done. lost: it was begun, and nobody said how it ended. untouched: its batch has not begun. where: the batches of those that are wrong.
    """

    verified: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    reports: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> bool:
        return bool(self.failed or self.stopped or self.lost)


def progress(notes: Sequence[Mapping[str, Any]], reports: Mapping[str, Mapping[str, Any]], run: str) -> Progress:
    """notes, reports: of any run, of which only those of `run` are counted."""
    found = Progress()
    for note in notes:
        if note["run"] != run or note["fate"] != TAKE:
            continue
        host = note["host"]
        report = reports.get(host, {})
        if report.get("run") != run:
            found.untouched.append(host)
            continue
        found.reports[host] = report
        if not report.get("begun") and not report.get("problem"):
            found.verified.append(host)
            continue
        (found.lost if report.get("begun") else found.stopped if report.get("stopped") else found.failed).append(host)
        if note["batch"] not in found.where:
            found.where.append(note["batch"])
    return found


def lines(batch: str, done: Progress, folder: str) -> list[Line]:
    """One line when all is well; otherwise the block that a person reads who comes back to a rollout that stopped."""
    if not done.wrong:
        return [
            (
                f"Batch {batch} is verified: {len(done.verified)} of {len(done.verified) + len(done.untouched)} hosts of this rollout",
                "green",
            )
        ]
    found: list[Line] = [(f"The rollout has stopped in batch {', '.join(done.where)}", "red")]
    for host in done.failed[:EXPLAINED]:
        found += _host(host, done.reports[host], folder)
    if len(done.failed) > EXPLAINED:
        found.append((f"  x and on {len(done.failed) - EXPLAINED} more: {names(done.failed[EXPLAINED:])}", "red"))
    for host in done.lost:
        found += wrapped(f"  ? {host}: ", "was begun, and was no longer reached; how it is now, nobody knows", "red")
    if done.stopped:
        found += wrapped("  - ", f"stopped with them, before all was done there: {names(done.stopped)}", "yellow")
    for colour, what, hosts in (("green", "+ verified before", done.verified), (None, ". not touched", done.untouched)):
        if hosts:
            found += wrapped(f"  {what}: ", names(hosts), colour)
    found += wrapped("  ", "Mend it, and start again with the same command: hosts that are as desired and verified are left out")
    return found


def _host(host: str, report: Mapping[str, Any], folder: str) -> Iterator[Line]:
    failure = report.get("failure")
    lacking = ", ".join(report["not_enforced"])
    yield from wrapped(f"  x {host}: ", single.failed(failure) if failure else report["problem"], "red")
    if failure and lacking:
        yield from wrapped("      ", f"required and not enforced: {lacking}", "red")
    for layer in report["verification"].get("layers", ()):
        seen = layer["evidence"][0] if layer["evidence"] else None
        if seen and any(entry.startswith(f"{layer['layer']} (") for entry in report["not_enforced"]):
            yield from wrapped("      ", f"{layer['layer']}: {words(seen['value'])}  <- {seen['source']}")
    yield f"      evidence in {folder}/verify-{host}.json", None
