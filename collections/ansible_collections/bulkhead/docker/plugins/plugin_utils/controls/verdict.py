# SPDX-License-Identifier: GPL-3.0-or-later
"""The data in which controls are judged. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PASS, FAIL, WAIVED, MANUAL, NOT_APPLICABLE, UNKNOWN = STATUSES = ("pass", "fail", "waived", "manual", "not_applicable", "unknown")
# The worst part of a control decides.
_ORDER = (NOT_APPLICABLE, PASS, MANUAL, UNKNOWN, FAIL)


class MissingFact(Exception):
    """A fact that the verdict needs was not read. The text states which and why."""


@dataclass
class ControlOutcome:
    """The verdict on a control, or on a part of it.

    findings: what fails: `container` (empty for the host) and `finding`, the ID of a layer's or exposure's finding, or empty for the control itself.
    """

    status: str
    reason: str
    evidence: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, str]] = field(default_factory=list)


def decide(passes: bool, good: str, bad: str, source: str, value: Any) -> ControlOutcome:
    """Return `pass` with one reason or `fail` with the other, and the evidence."""
    return (
        ControlOutcome(PASS, good, build_evidence(source, value))
        if passes
        else ControlOutcome(FAIL, bad, build_evidence(source, value), [{"container": "", "finding": ""}])
    )


def build_evidence(source: str, value: Any) -> list[dict[str, Any]]:
    """Return one piece of evidence as a list."""
    return [{"source": source, "value": value}]


def combine(parts: Iterable[ControlOutcome]) -> ControlOutcome:
    """Return the worst part's status, the reasons of the parts with that status, and all evidence and findings."""
    found = list(parts)
    worst = max((part.status for part in found), key=_ORDER.index)
    reasons = dict.fromkeys(part.reason for part in found if part.status == worst)
    return ControlOutcome(
        worst, "; ".join(reasons), [e for part in found for e in part.evidence], [f for part in found for f in part.findings]
    )


@dataclass(frozen=True)
class Facts:
    """What judges read. evidence: of the module. verification: layers and containers as judged. expect: what was expected of the layers."""

    evidence: Mapping[str, Any]
    verification: Mapping[str, Any]
    expect: Mapping[str, Any] = field(default_factory=dict)

    @property
    def observed(self) -> Mapping[str, Any]:
        return dict(self.evidence["observed"])

    def get(self, name: str) -> Any:
        """Return a fact of module_utils/controls/gather.py. Raises MissingFact."""
        found = self.evidence.get("controls") or {}
        if name in found:
            return found[name]
        engine = self.observed["engine"]
        why = found.get("errors", {}).get(name) or engine.get("error") or "it was not read"
        raise MissingFact(f"{name} is unknown: {why}")

    def get_info(self, key: str) -> Any:
        """Return an entry of the engine's `/info` that the observation has. Raises MissingFact while the engine does not answer."""
        info = self.observed["engine"].get("info")
        if not info:
            raise MissingFact(f"/info is unknown: {self.observed['engine'].get('error') or 'the engine does not run'}")
        return info.get(key)
