# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a fleet, judged from the reports of its hosts. Pure: what every format of the report is made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.layers.registry import JUDGED
from ...module_utils.layers.verdict import ENFORCED, NOT_APPLICABLE, REQUIRED, UNKNOWN
from ..planning.table import container_notes, not_enforced
from . import single
from .read import Reports, written
from .text import age

# A host's condition, the worst first. Only `verified` is good; each of the others says why nobody may count on this host.
FAILING = "failing"
UNREACHABLE = "unreachable"
UNPROVEN = "unproven"
NEVER = "never"
STALE = "stale"
GONE = "gone"
VERIFIED = "verified"
CONDITIONS = {
    FAILING: "a required layer does not hold, an attack is not stopped as demanded, or a change failed",
    UNREACHABLE: "not reached when last tried",
    UNPROVEN: "no verification came of the last try",
    NEVER: "in the inventory, never verified",
    STALE: "verified too long ago",
    GONE: "no longer in the inventory",
    VERIFIED: "every required layer holds",
}


@dataclass
class HostState:
    """One host.

    condition: of CONDITIONS; why: one sentence about it. seconds: since its report was written, None without one.
    layers: by name, the verdicts as `verify_layers` gives them. containers: those of which a person should know something, each with `notes`.
    running: how many containers run in all. attack: its attack matrix, as it was written. denials: what was heard of blockers, as it was written.
    drift: what harden.yml would change, each with `layer` and `summary`; None where nobody looked.
    """

    name: str
    condition: str
    why: str
    groups: list[str] = field(default_factory=list)
    seconds: float | None = None
    written: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    containers: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    attack: dict[str, Any] | None = None
    denials: dict[str, Any] | None = None
    drift: list[dict[str, Any]] | None = None

    @property
    def age(self) -> str:
        return "" if self.seconds is None else age(self.seconds)

    def status(self, layer: str) -> str:
        """The layer's status; `unknown` where the report has none, and where the last try came to nothing."""
        return str(self.layers[layer]["status"]) if layer in self.layers else UNKNOWN

    def holds(self, layer: str) -> bool:
        """Whether the layer is what the inventory asks for."""
        return self.status(layer) == ENFORCED or self.layers.get(layer, {}).get("requirement") != REQUIRED


@dataclass
class Fleet:
    """hosts: the worst first, then by name. layers: the names, in order of effort. problems: files that are no reports.
    now: seconds since the epoch. stale_seconds: what is older is not counted on.
    """

    hosts: list[HostState]
    layers: list[str]
    problems: list[str]
    now: float
    stale_seconds: float

    @property
    def size(self) -> int:
        """How many hosts there are; one that is gone is shown, and is none of them."""
        return len(self.hosts) - self.count(GONE)

    def count(self, condition: str) -> int:
        return sum(host.condition == condition for host in self.hosts)


@dataclass
class Inventory:
    """groups: of every host that the inventory knows. expected: the hosts that ought to have a report."""

    groups: Mapping[str, Collection[str]]
    expected: Collection[str]


def judge(reports: Reports, inventory: Inventory | None, now: float, stale_seconds: float) -> Fleet:
    """What is known of each host.

    inventory: None when nobody says which hosts there ought to be. now: seconds since the epoch.
    stale_seconds: how old a report may be for its host to count as verified.
    """
    names = set(reports.verify) | set(reports.attack) | set(reports.denials) | set(inventory.expected if inventory else ())
    hosts = [_host(name, reports, inventory, now, stale_seconds) for name in names]
    order = list(CONDITIONS)
    hosts.sort(key=lambda host: (order.index(host.condition), host.name))
    return Fleet(hosts, _layers(hosts), list(reports.problems), now, stale_seconds)


def _host(name: str, reports: Reports, inventory: Inventory | None, now: float, stale_seconds: float) -> HostState:
    report = reports.verify.get(name)
    groups = sorted(inventory.groups.get(name, ())) if inventory else []
    attack, denials = reports.attack.get(name), reports.denials.get(name)
    if attack and not attack["matrix"]:
        if report is None or written(attack) >= written(report):
            return _not_played(name, attack, groups, inventory, now)
        attack = None
    if report is None:
        return HostState(name, NEVER, "there is no report of this host", groups, attack=attack, denials=denials)
    verification = report.get("verification") or {}
    seconds = max(0.0, now - written(report))
    condition, why = _condition(name, report, inventory, seconds, stale_seconds, attack["unmet"] if attack else ())
    return HostState(
        name,
        condition,
        why,
        groups,
        seconds,
        report["written"],
        {**(verification.get("host") or {}), **_engines(verification)},
        {layer["layer"]: layer for layer in verification.get("layers", ())},
        list(verification.get("findings", ())),
        [kept for container in verification.get("containers", ()) if (kept := _of_interest(container))],
        len(verification.get("containers", ())),
        attack,
        denials,
        report.get("drift"),
    )


def _not_played(name: str, attack: Mapping[str, Any], groups: list[str], inventory: Inventory | None, now: float) -> HostState:
    """A host on which attack.yml was the last try, and came to nothing. What held earlier is no longer known."""
    seconds = max(0.0, now - written(attack))
    if inventory and name not in inventory.groups and name not in inventory.expected:
        condition, why = GONE, f"not in the inventory; the last report is {age(seconds)} old"
    elif attack.get("unreachable"):
        condition, why = UNREACHABLE, f"last tried {age(seconds)} ago: {attack['error']}"
    else:
        condition, why = UNPROVEN, f"no attack was played {age(seconds)} ago: {attack['error']}"
    return HostState(name, condition, why, groups, seconds, attack["written"])


def _condition(
    name: str, report: Mapping[str, Any], inventory: Inventory | None, seconds: float, stale_seconds: float, unmet: Sequence[str]
) -> tuple[str, str]:
    if inventory and name not in inventory.groups and name not in inventory.expected:
        return GONE, f"not in the inventory; the last report is {age(seconds)} old"
    if report.get("unreachable"):
        return UNREACHABLE, f"last tried {age(seconds)} ago: {report.get('error', 'no reason given')}"
    if report.get("failure"):
        return FAILING, f"{age(seconds)} ago {single.failed(report['failure'])}"
    verification = report.get("verification") or {}
    if not verification.get("layers"):
        return UNPROVEN, f"nothing was verified {age(seconds)} ago: {report.get('error', 'the report has no verification')}"
    if seconds > stale_seconds:
        return STALE, f"the last report is {age(seconds)} old, {age(stale_seconds)} are allowed"
    lacking = not_enforced(verification)
    if not all(entry.endswith(f"({UNKNOWN})") for entry in lacking):
        return FAILING, f"required and not enforced: {', '.join(lacking)}"
    if lacking or not verification.get("probe"):
        return UNPROVEN, f"nobody knows whether what is required holds: {', '.join(lacking) or 'no probe ran'}"
    if unmet:
        return FAILING, f"attacks are not stopped as the inventory demands: {'; '.join(unmet)}"
    if not any(layer.get("requirement") == REQUIRED for layer in verification["layers"]):
        return UNPROVEN, "the inventory requires no layer, so that there is nothing that could hold"
    return VERIFIED, CONDITIONS[VERIFIED]


def _engines(verification: Mapping[str, Any]) -> dict[str, str]:
    """The engines of a host that has more than the one that was judged, or another than the rootful one."""
    engines = verification.get("engines", ())
    if len(engines) == 1 and engines[0]["kind"] == "rootful":
        return {}
    told = [
        f"{e['kind']} of {e['user']}, {'judged' if e.get('judged') else 'looked into' if 'layers' in e else 'not looked into'}"
        for e in engines
    ]
    return {"engines": "; ".join(told)} if told else {}


def _of_interest(container: Mapping[str, Any]) -> dict[str, Any] | None:
    """A container that deviates from the host's defaults, with the layers in which it does; None for one that is as the host would have it."""
    notes = container_notes(container)
    if not notes:
        return None
    deviating = [layer for layer in container["layers"] if layer["status"] not in (ENFORCED, NOT_APPLICABLE) or layer["findings"]]
    kept = {key: container[key] for key in ("name", "id", "image", "opted_out", "findings")}
    return {**kept, "settings": list(container.get("settings", ())), "layers": deviating, "notes": notes}


def _layers(hosts: Iterable[HostState]) -> list[str]:
    """Those of the catalog in its order, then what reports name besides."""
    seen = {name for host in hosts for name in host.layers}
    return [*JUDGED, *sorted(seen - set(JUDGED))]
