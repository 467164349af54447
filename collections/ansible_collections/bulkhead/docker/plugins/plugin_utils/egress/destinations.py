# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers used in the stage `log`, of one host: kept from run to run, and without what the variables allow. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ...module_utils.host.egress import MAX_USED
from ...module_utils.layers.egress.rules import Inputs, choose_policy, collect_inputs, find_denial
from ...module_utils.layers.egress.settings import EgressSettings

ALL = "all networks"


@dataclass(frozen=True, order=True)
class Destination:
    """A destination that containers used. label: `network NAME` or `project NAME`; ALL for a rootless engine. first: ISO 8601, of its first collection."""

    label: str
    address: str
    protocol: str
    port: int
    first: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.label, self.address, self.protocol, self.port

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return a destination of a report. Raises KeyError, TypeError, ValueError."""
        return cls(str(given["label"]), str(given["address"]), str(given["protocol"]), int(given["port"]), str(given["first"]))


@dataclass
class Collected:
    """The destinations of one host. destinations: all that its containers used. missing: those that the variables do not allow. warnings: texts."""

    destinations: list[Destination]
    missing: list[Destination]
    warnings: list[str]


def collect_destinations(
    settings: EgressSettings, answer: Mapping[str, Any], former: Iterable[Destination], now: str, uid: int | None = None
) -> Collected:
    """Return what the host's containers used, now and before. answer: of module observe_egress. uid: of the user of a rootless engine."""
    inputs = collect_inputs(settings, answer, Inputs.from_text(answer["texts"][0]), uid)
    labels = {network["bridge"]: _label(settings, inputs, network) for network in answer["networks"] if network["bridge"]}
    known = {each.key: each for each in former}
    warnings, gone = [], set()
    for used in answer["used"]:
        label = labels.get(used["bridge"], "") if used["bridge"] else ALL
        if not label:
            gone.add(used["bridge"])
            continue
        found = Destination(label, used["destination"], used["protocol"], used["port"], now)
        known.setdefault(found.key, found)
    if gone:
        warnings.append(
            f"what was recorded of removed networks cannot be named: {', '.join(sorted(gone))}; collect before networks are removed"
        )
    if len(answer["used"]) >= MAX_USED:
        warnings.append(f"the kernel keeps at most {MAX_USED} destinations, so that others may be missing")
    everything = sorted(known.values())
    return Collected(everything, [each for each in everything if _is_missing(settings, inputs, answer, each)], warnings)


def _label(settings: EgressSettings, inputs: Inputs, network: Mapping[str, Any]) -> str:
    """Return the label of the entry that applies to a network; without one, that of a new entry: for its compose project, or else for its name."""
    label = choose_policy(settings, inputs, network["bridge"])[0]
    if label != ALL:
        return label
    return f"project {network['project']}" if network["project"] else f"network {network['name']}"


def _is_missing(settings: EgressSettings, inputs: Inputs, answer: Mapping[str, Any], found: Destination) -> bool:
    """Return whether the present variables deny a destination. A network's label stands for its bridge, which may be gone."""
    named = Inputs(inputs.names, inputs.nameservers, inputs.ports, {entry.label: [entry.label] for entry in settings.entries})
    connection = {"asked": found.address, "destination": found.address, "protocol": found.protocol, "port": found.port}
    return bool(find_denial(settings, named, connection, found.label, found.address in answer["addresses"], False))
