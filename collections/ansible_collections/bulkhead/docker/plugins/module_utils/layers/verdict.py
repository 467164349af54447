# SPDX-License-Identifier: GPL-3.0-or-later
"""The words in which a layer is planned and judged. Pure data, shared by every layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

ENFORCED = "enforced"
DEGRADED = "degraded"
ABSENT = "absent"
NOT_APPLICABLE = "not_applicable"
UNKNOWN = "unknown"

# From best to worst: a layer is as good as the worst thing that was seen of it.
_BADNESS = {ENFORCED: 0, NOT_APPLICABLE: 0, DEGRADED: 1, UNKNOWN: 2, ABSENT: 3}

REQUIRED = "required"
OPTIONAL = "optional"
DISABLED = "disabled"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing.

    id: stable, dotted, starts with the layer's name (`userns.overlap`); people filter by it.
    text: one sentence for a person, naming file, key, value or container.
    status: what this finding makes of the layer; None when it only informs.
    remedy: what to do about it, one sentence or command; empty when there is nothing to say.
    """

    id: str
    text: str
    status: str | None = None
    remedy: str = ""


@dataclass
class Verdict:
    """What a layer does for every container that asks for nothing (the host's default), as the kernel shows it."""

    layer: str
    expected: str
    status: str = UNKNOWN
    evidence: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def saw(self, source: str, value: Any, headline: bool = False) -> None:
        """Record one piece of evidence: where it was read (a path or command that a reader can repeat) and what stood there.

        The first piece is the one that a table shows; `headline` puts this one there.
        """
        self.evidence.insert(0 if headline else len(self.evidence), {"source": source, "value": value})

    def find(self, id: str, text: str, status: str | None = None, remedy: str = "") -> None:
        """Add a finding under this layer's name; `id` comes without the layer."""
        self.findings.append(Finding(f"{self.layer}.{id}", text, status, remedy))

    def conclude(self, otherwise: str = ENFORCED) -> Self:
        """Set the status to the worst that the findings say, or to `otherwise` when none says anything."""
        said = [f.status for f in self.findings if f.status]
        self.status = max(said, key=lambda s: _BADNESS[s]) if said else otherwise
        return self

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class ContainerVerdict(Verdict):
    """What a layer does for one running container.

    opted_out: the container asked to be without the layer (`--privileged`, `--userns=host`, …).
    disagreements: where the engine's word (`docker inspect`) and the kernel's differ, one sentence each.
    """

    opted_out: bool = False
    disagreements: list[str] = field(default_factory=list)


@dataclass
class Change:
    """One thing that applying a plan would alter on the host; `before` and `after` feed `--diff`."""

    path: str
    summary: str
    before: str = ""
    after: str = ""


@dataclass
class LayerPlan:
    """What one layer needs on one host.

    blockers: sentences; any of them stops the run before anything is touched.
    warnings, notices: sentences to show; a notice explains, a warning wants attention.
    changes: empty when the host already has what is desired.
    apply: arguments of the module that makes the changes.
    daemon_keys: the keys of daemon.json that this layer needs; `planning/engine_config.py` makes one change of all layers'.
    with_engine: what of this layer that one change will make on this host; empty when it is all there.
    effects: what running containers will feel, one sentence each.
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
    effects: list[str] = field(default_factory=list)

    def cannot(self, reason: str) -> LayerPlan:
        """The host can't carry this layer: refused when it is required, reported when it is optional."""
        self.applicable = False
        self.reason = reason
        if self.requirement == REQUIRED:
            self.blockers.append(reason)
        return self

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
