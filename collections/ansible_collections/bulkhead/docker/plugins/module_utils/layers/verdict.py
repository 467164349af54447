# SPDX-License-Identifier: GPL-3.0-or-later
"""The data in which every layer is planned and judged. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

ENFORCED = "enforced"
DEGRADED = "degraded"
ABSENT = "absent"
NOT_APPLICABLE = "not_applicable"
UNKNOWN = "unknown"

# Order of the statuses: the worst finding decides.
SEVERITY = {ENFORCED: 0, NOT_APPLICABLE: 0, DEGRADED: 1, UNKNOWN: 2, ABSENT: 3}

REQUIRED = "required"
OPTIONAL = "optional"
DISABLED = "disabled"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing.

    id: stable, dotted, starts with the layer's name (`userns.overlap`); people filter by it.
    text: one message that names file, key, value or container.
    status: the status that this finding gives the layer; None if it only informs.
    remedy: one instruction or command; empty without one.
    """

    id: str
    text: str
    status: str | None = None
    remedy: str = ""


@dataclass
class Verdict:
    """The status of one layer for containers without options of their own (the host's default)."""

    layer: str
    expected: str
    status: str = UNKNOWN
    evidence: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add_evidence(self, source: str, value: Any, headline: bool = False) -> None:
        """Add a piece of evidence: a path or command that a reader can repeat, and its value.

        Tables show the first piece; `headline` makes this one the first.
        """
        self.evidence.insert(0 if headline else len(self.evidence), {"source": source, "value": value})

    def add_finding(self, id: str, text: str, status: str | None = None, remedy: str = "") -> None:
        """Add a finding. id: without the layer's name."""
        self.findings.append(Finding(f"{self.layer}.{id}", text, status, remedy))

    def conclude(self, otherwise: str = ENFORCED) -> Self:
        """Set the status to the worst of the findings, or to `otherwise` if none has a status."""
        found = [finding.status for finding in self.findings if finding.status]
        self.status = max(found, key=lambda s: SEVERITY[s]) if found else otherwise
        return self

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class ContainerVerdict(Verdict):
    """The status of one layer for one running container.

    opted_out: whether its settings switch the layer off (`--privileged`, `--userns=host`, …).
    disagreements: where the engine's report (`docker inspect`) and the kernel's differ, one message each.
    """

    opted_out: bool = False
    disagreements: list[str] = field(default_factory=list)


@dataclass
class Change:
    """One change that applying a plan makes on the host. before, after: for `--diff`."""

    path: str
    summary: str
    before: str = ""
    after: str = ""


class Effect(str):
    """A message on running containers. head, containers, details: its beginning, the names at its end, and texts on some of them."""

    head: str
    containers: list[str]
    details: dict[str, str]

    def __new__(cls, head: str, containers: Iterable[str] = (), details: Mapping[str, str] | None = None, joint: str = ": ") -> Effect:
        names, more = list(containers), dict(details or {})
        shown = format_containers(names, more)
        made = super().__new__(cls, f"{head}{joint}{shown}" if shown else head)
        made.head, made.containers, made.details = head, names, more
        return made

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.head, "containers": self.containers, "details": self.details}


def format_containers(names: Iterable[str], details: Mapping[str, str]) -> str:
    """Return `web (8080/tcp), db`."""
    return ", ".join(f"{name} ({details[name]})" if details.get(name) else name for name in names)


@dataclass
class LayerPlan:
    """What one layer needs on one host.

    blockers: one message each; each of them stops the run before anything is changed.
    warnings, notices: messages; a notice explains, a warning needs attention.
    changes: empty if the host is in the desired state.
    apply: arguments of the module that makes the changes.
    daemon_keys: the keys of daemon.json that this layer needs; `planning/engine_config.py` combines those of all layers in one change.
    with_engine: the part of this layer that the change of the engine's configuration makes; empty if nothing changes.
    effects: on running containers, one each.
    question: arguments of the module `asks`, if the plan depends on its answer; empty otherwise.
    """

    layer: str
    requirement: str = REQUIRED
    applicable: bool = True
    reason: str = ""
    blockers: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    apply: dict[str, Any] = field(default_factory=dict)
    daemon_keys: dict[str, Any] = field(default_factory=dict)
    with_engine: str = ""
    effects: list[Effect] = field(default_factory=list)
    question: dict[str, Any] = field(default_factory=dict)
    asks: str = "observe_data"

    def mark_unsupported(self, reason: str, switch: str = "") -> LayerPlan:
        """Mark the layer as unsupported on this host: a blocker if it is required, only reported if it is optional.

        switch: the layer's variable, if `optional` is a way out.
        """
        self.applicable = False
        self.reason = reason
        if self.requirement == REQUIRED:
            self.blockers.append(f"{reason}, or write {switch}: optional" if switch else reason)
        return self

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "effects": [str(effect) for effect in self.effects]}
