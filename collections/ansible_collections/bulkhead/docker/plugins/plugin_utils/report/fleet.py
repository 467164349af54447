# SPDX-License-Identifier: GPL-3.0-or-later
"""Assesses the hosts of a fleet from their reports; the basis of every report format. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.layers.registry import JUDGED
from ...module_utils.layers.verdict import ENFORCED, NOT_APPLICABLE, REQUIRED, UNKNOWN
from . import single
from .policy import Judgement, judge_policy, list_judged_containers, load_policy
from .read import Reports, get_report_time
from .text import format_age
from .verification_table import list_container_notes, list_unenforced
from .waivers import Waiver, get_today

# Conditions of a host, the worst first. Only `verified` is good.
FAILING = "failing"
UNREACHABLE = "unreachable"
UNVERIFIED = "unverified"
NEVER = "never"
STALE = "stale"
GONE = "gone"
VERIFIED = "verified"
CONDITIONS = {
    FAILING: "a required layer is not enforced, fewer layers than required stop an attack, or a change failed",
    UNREACHABLE: "not reached by the last run",
    UNVERIFIED: "the last run has no verification result",
    NEVER: "in the inventory, never verified",
    STALE: "verified too long ago",
    GONE: "no longer in the inventory",
    VERIFIED: "every required layer is enforced",
}


@dataclass
class HostState:
    """One host.

    condition: of CONDITIONS; why: its reason, one message. seconds: since the report was written; None without one.
    layers: by name, the verdicts of `verify_layers`. containers: those that a reader should know about, each with `notes`.
    running: the number of running containers. attack, denials: the reports as written.
    drift: what harden.yml would change, each with `layer` and `summary`; None if no plan was made.
    judgement: of the verification under its policy; None without a verification, or if it is too old to count.
    usage: of each running container of every engine: the engine's user, the container's name, and what it used of its limits (layers/usage.py).
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
    judgement: Judgement | None = None
    usage: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    @property
    def age(self) -> str:
        return "" if self.seconds is None else format_age(self.seconds)

    def get_status(self, layer: str) -> str:
        """Return the layer's status; `unknown` if the report has none or the last run had no result."""
        return str(self.layers[layer]["status"]) if layer in self.layers else UNKNOWN

    def is_satisfied(self, layer: str) -> bool:
        """Return whether the layer is enforced, not required, or waived."""
        return self.get_status(layer) == ENFORCED or self.layers.get(layer, {}).get("requirement") != REQUIRED or self.is_waived(layer)

    def is_waived(self, layer: str) -> bool:
        """Return whether all findings that give the layer its status are waived."""
        return self.judgement is not None and layer in self.judgement.waived_layers


# States of a waiver.
WAIVER_STATES = USED, UNUSED, EXPIRED, UNCHECKED = ("used", "unused", "expired", "unchecked")


@dataclass
class WaiverState:
    """A waiver of the fleet. state: UNCHECKED if it matches nothing, and a host in its scope has no recent verification."""

    waiver: Waiver
    state: str
    hosts: list[str]


@dataclass
class Fleet:
    """hosts: the worst first, then by name. layers: the names, in order of effort. problems: files that are not reports.
    now: seconds since the epoch. stale_seconds: the maximum age of a report that counts. waivers: of all hosts. recordings: of services.
    """

    hosts: list[HostState]
    layers: list[str]
    problems: list[str]
    now: float
    stale_seconds: float
    waivers: list[WaiverState] = field(default_factory=list)
    recordings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exposed_hosts(self) -> list[HostState]:
        """The hosts with exposed containers, by name."""
        return sorted((host for host in self.hosts if host.judgement and host.judgement.exposed), key=lambda host: host.name)

    @property
    def size(self) -> int:
        """The number of hosts without those that are gone."""
        return len(self.hosts) - self.count(GONE)

    def count(self, condition: str) -> int:
        """Return the number of hosts in a condition."""
        return sum(host.condition == condition for host in self.hosts)


@dataclass
class InventoryHosts:
    """groups: of every host in the inventory. expected: the hosts that must have a report."""

    groups: Mapping[str, Collection[str]]
    expected: Collection[str]


def judge_fleet(reports: Reports, inventory: InventoryHosts | None, now: float, stale_seconds: float) -> Fleet:
    """Return the state of each host.

    inventory: None if it is unknown which hosts must have a report. now: seconds since the epoch. stale_seconds: the maximum age of a report that counts.
    """
    names = set(reports.verify) | set(reports.attack) | set(reports.denials) | set(inventory.expected if inventory else ())
    hosts = [_judge_host(name, reports, inventory, now, stale_seconds) for name in names]
    order = list(CONDITIONS)
    hosts.sort(key=lambda host: (order.index(host.condition), host.name))
    waivers = _judge_waivers(hosts, reports, inventory, now)
    return Fleet(hosts, _list_layers(hosts), list(reports.problems), now, stale_seconds, waivers)


def _judge_waivers(hosts: Sequence[HostState], reports: Reports, inventory: InventoryHosts | None, now: float) -> list[WaiverState]:
    """Return the state of each waiver. The hosts in its scope are those of the fleet and of the group docker_hosts whose names match.

    A host whose last report has a policy without the waiver is not in its scope.
    """
    policies = {name: load_policy(report["policy"]) for name, report in reports.verify.items() if "policy" in report}
    listed = {host.name for host in hosts if host.condition != GONE}
    listed |= {name for name, groups in inventory.groups.items() if "docker_hosts" in groups} if inventory else set()
    recent = {host.name: host.judgement for host in hosts if host.judgement and host.condition in (VERIFIED, FAILING)}
    today, found = get_today(now), []
    for waiver in sorted({w for name in listed for w in (policies[name].waivers if name in policies else ())}, key=lambda w: w.scope):
        scope = sorted(name for name in listed if waiver.is_for_host(name) and (name not in policies or waiver in policies[name].waivers))
        used = [name for name in scope if name in recent and waiver in recent[name].matched]
        # Without an inventory, a pattern that matches no host says nothing: the host may have no report.
        complete = all(name in recent for name in scope) and (bool(scope) or inventory is not None)
        if inventory is not None and not scope and any(waiver.is_for_host(name) for name in inventory.groups):
            complete = False
        state = EXPIRED if waiver.is_expired(today) else USED if used else UNUSED if complete else UNCHECKED
        found.append(WaiverState(waiver, state, used))
    return found


def _judge_host(name: str, reports: Reports, inventory: InventoryHosts | None, now: float, stale_seconds: float) -> HostState:
    report = reports.verify.get(name)
    groups = sorted(inventory.groups.get(name, ())) if inventory else []
    attack, denials = reports.attack.get(name), reports.denials.get(name)
    if attack and not attack["matrix"]:
        if report is None or get_report_time(attack) >= get_report_time(report):
            return _judge_failed_attack(name, attack, groups, inventory, now)
        attack = None
    if report is None:
        return HostState(name, NEVER, "the report of this host does not exist", groups, attack=attack, denials=denials)
    verification = report.get("verification") or {}
    seconds = max(0.0, now - get_report_time(report))
    judgement = judge_policy(name, verification, load_policy(report.get("policy")), get_today(now)) if verification.get("layers") else None
    unmet = attack["unmet"] if attack else ()
    condition, why = _find_condition(name, report, inventory, seconds, stale_seconds, unmet, judgement)
    return HostState(
        name,
        condition,
        why,
        groups,
        seconds,
        report["written"],
        {**(verification.get("host") or {}), **_describe_engines(verification), **_describe_untried(verification)},
        {layer["layer"]: layer for layer in verification.get("layers", ())},
        list(verification.get("findings", ())),
        [kept for container in list_judged_containers(verification) if (kept := _reduce_container(container, judgement or Judgement()))],
        len(verification.get("containers", ())),
        attack,
        denials,
        report.get("drift"),
        None if condition in (GONE, STALE, UNREACHABLE) else judgement,
        _list_usage(verification),
    )


def _judge_failed_attack(
    name: str, attack: Mapping[str, Any], groups: list[str], inventory: InventoryHosts | None, now: float
) -> HostState:
    """Return the state of a host whose last run was an attack.yml without a result. Earlier results no longer count."""
    seconds = max(0.0, now - get_report_time(attack))
    if _is_gone(name, inventory):
        condition, why = GONE, f"not in the inventory; the last report is {format_age(seconds)} old"
    elif attack.get("unreachable"):
        condition, why = UNREACHABLE, f"last tried {format_age(seconds)} ago: {attack['error']}"
    else:
        condition, why = UNVERIFIED, f"no attack was run {format_age(seconds)} ago: {attack['error']}"
    return HostState(name, condition, why, groups, seconds, attack["written"])


def _is_gone(name: str, inventory: InventoryHosts | None) -> bool:
    return inventory is not None and name not in inventory.groups and name not in inventory.expected


def _find_condition(
    name: str,
    report: Mapping[str, Any],
    inventory: InventoryHosts | None,
    seconds: float,
    stale_seconds: float,
    unmet: Sequence[str],
    judgement: Judgement | None,
) -> tuple[str, str]:
    """Return the condition of a host and its reason."""
    if _is_gone(name, inventory):
        return GONE, f"not in the inventory; the last report is {format_age(seconds)} old"
    if report.get("unreachable"):
        return UNREACHABLE, f"last tried {format_age(seconds)} ago: {report.get('error', 'no reason given')}"
    if report.get("failure"):
        return FAILING, f"{format_age(seconds)} ago {single.describe_failure(report['failure'])}"
    verification = report.get("verification") or {}
    if not verification.get("layers"):
        return UNVERIFIED, f"nothing was verified {format_age(seconds)} ago: {report.get('error', 'the report has no verification')}"
    if seconds > stale_seconds:
        return STALE, f"the last report is {format_age(seconds)} old, {format_age(stale_seconds)} are allowed"
    missing = list_unenforced(verification, judgement=judgement)
    if not all(entry.endswith(f"({UNKNOWN})") for entry in missing):
        return FAILING, f"required and not enforced: {', '.join(missing)}"
    if missing or not verification.get("probe"):
        return UNVERIFIED, f"requirements could not be verified: {', '.join(missing) or 'no probe container ran'}"
    if unmet:
        return FAILING, f"fewer layers than required stop attacks: {'; '.join(unmet)}"
    if not any(layer.get("requirement") == REQUIRED for layer in verification["layers"]):
        return UNVERIFIED, "the inventory requires no layer, so there is nothing to verify"
    waived = (
        sorted(judgement.waived_layers & {layer["layer"] for layer in verification["layers"] if layer.get("requirement") == REQUIRED})
        if judgement
        else []
    )
    return VERIFIED, f"every required layer is enforced or waived: {', '.join(waived)}" if waived else CONDITIONS[VERIFIED]


def _list_usage(verification: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return user of the engine, name and usage of each container. Reports of earlier versions have no usage."""
    engines = verification.get("engines", ())
    judged = next((engine["user"] for engine in engines if engine.get("judged")), "root")
    found = [(judged, container) for container in verification.get("containers", ())]
    found += [(engine["user"], container) for engine in engines if not engine.get("judged") for container in engine.get("containers", ())]
    usage = {(user, container["name"]): container["usage"] for user, container in found if container.get("usage")}
    return [(user, name, used) for (user, name), used in usage.items()]


def _describe_engines(verification: Mapping[str, Any]) -> dict[str, str]:
    """Return the engines of a host that has several, or one that is not rootful."""
    engines = verification.get("engines", ())
    if len(engines) == 1 and engines[0]["kind"] == "rootful":
        return {}
    texts = [
        f"{engine['kind']} of {engine['user']}, {'judged' if engine.get('judged') else 'examined' if 'layers' in engine else 'not examined'}"
        for engine in engines
    ]
    return {"engines": "; ".join(texts)} if texts else {}


def _describe_untried(verification: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known of versions on which the collection was never tried."""
    untried = verification.get("untried")
    return {"untried": "; ".join(untried)} if untried else {}


def _reduce_container(container: Mapping[str, Any], judgement: Judgement) -> dict[str, Any] | None:
    """Return a container with the layers in which it deviates from the host's defaults; None if there is nothing to know about it."""
    notes = list_container_notes(container, judgement)
    if not notes:
        return None
    deviating = [layer for layer in container["layers"] if layer["status"] not in (ENFORCED, NOT_APPLICABLE) or layer["findings"]]
    kept = {key: container[key] for key in ("name", "id", "image", "opted_out", "findings")}
    return {**kept, "settings": list(container.get("settings", ())), "layers": deviating, "notes": notes}


def _list_layers(hosts: Iterable[HostState]) -> list[str]:
    """Return the judged layers of the registry in its order, then further ones that reports name."""
    reported = {name for host in hosts for name in host.layers}
    return [*JUDGED, *sorted(reported - set(JUDGED))]
