# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges by the kernel's own list of rules whether changes of the engine's files are recorded. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...host.audit_rules import RULES
from ..verdict import ABSENT, DEGRADED, DISABLED, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict
from .kernel import IMMUTABLE, Kernel, parse_kernel
from .rules import LAYER, WatchedPath, is_covered, list_covering, list_places, list_suppressed, list_watched, parse_rules

_RUN_AGAIN = "run harden.yml"
_LIST, _STATE = "auditctl -l", "auditctl -s"
_STATES = {0: "off (enabled 0)", 1: "on (enabled 1)", IMMUTABLE: "on, and immutable until the next boot (enabled 2)"}


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the kernel's audit rules by the paths that they watch, and whether they are loaded at boot."""
    observed = evidence["observed"]
    state, disabled = observed["layers"][LAYER], expect.get("requirement") == DISABLED
    verdict = Verdict(
        LAYER, "audit rules are not required" if disabled else "the kernel has an audit rule for each program and file of the engine"
    )
    try:
        kernel = parse_kernel(state)
    except ValueError as error:
        if not disabled:
            verdict.add_finding("unread", f"the kernel's audit rules cannot be read: {error}", UNKNOWN, _LIST)
        return verdict.conclude(NOT_APPLICABLE)
    excluded = list(expect.get("exclude") or ())
    places = list_watched(observed, excluded)
    covering = {place.real: list_covering(kernel, place) for place in places}
    for place in places:
        rules = [f"{rule.path} {rule.permissions} {rule.key}".strip() for rule in covering[place.real]]
        verdict.add_evidence(f"{_LIST}    # {place.path}", rules or "no rule")
    missing = [place for place in places if not is_covered(covering[place.real])]
    receiver = f"auditd has PID {kernel.receiver}" if kernel.receiver else "auditd does not run"
    verdict.add_evidence(_STATE, f"{_STATES.get(kernel.enabled, kernel.enabled)}; {receiver}", headline=True)
    verdict.add_evidence(_LIST, f"{len(places) - len(missing)} of {len(places)} paths are watched", headline=True)
    if disabled:
        return verdict.conclude(NOT_APPLICABLE)
    if places and len(missing) == len(places) and not (state["installed"] and kernel.receiver):
        _add_not_ready(verdict, state["installed"])
        return verdict.conclude()
    _judge_missing(verdict, missing, covering, kernel, parse_rules(state["texts"][0]), ABSENT if len(missing) == len(places) else DEGRADED)
    _judge_effect(verdict, kernel, places)
    _judge_boot(verdict, kernel, state)
    for place in list_places(observed).values():
        if place.unfit:
            verdict.add_finding("unfit", f"{place.described} {place.unfit}, so that no rule watches it", DEGRADED)
        elif place.real and {place.path, place.real} & set(excluded):
            verdict.add_finding("excluded", f"{place.described} is listed in docker_audit_rules_exclude")
    return verdict.conclude("enforced" if places else NOT_APPLICABLE)


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Return that no container has this layer: it is the host's."""
    return ContainerVerdict(LAYER, "this layer applies to the host, not to containers").conclude(NOT_APPLICABLE)


def _add_not_ready(verdict: Verdict, installed: bool) -> None:
    if installed:
        verdict.add_finding("not_running", "auditd does not run, and no audit rule is loaded", ABSENT, "systemctl enable --now auditd")
    else:
        verdict.add_finding("not_installed", "auditd is not installed", ABSENT, "apt install auditd, and run harden.yml")


def _judge_missing(
    verdict: Verdict, missing: list[WatchedPath], covering: Mapping[str, Any], kernel: Kernel, saved: set[str], status: str
) -> None:
    for place in missing:
        permissions = "".join(sorted({letter for rule in covering[place.real] for letter in rule.permissions}))
        text = f"no audit rule in the kernel watches {place.described}"
        if permissions:
            text = f"the audit rule of {place.described} has permissions {permissions}, and w and a are needed"
        remedy = f"{_RUN_AGAIN}, or: auditctl -w {place.real} -p wa -k bulkhead-docker"
        if kernel.enabled == IMMUTABLE:
            pending = place.real in saved
            remedy = f"{'' if pending else f'{_RUN_AGAIN}, then '}reboot: the kernel accepts no rule before the next boot (enabled 2)"
            text += f"; the rule in {RULES} is pending until the next boot" if pending else ""
        verdict.add_finding(place.name, text, status, remedy)


def _judge_effect(verdict: Verdict, kernel: Kernel, places: list[WatchedPath]) -> None:
    """Add what makes rules useless although the kernel has them."""
    if kernel.enabled == 0:
        verdict.add_finding("off", "the kernel's audit is off (enabled 0), so that rules make no record", ABSENT, "auditctl -e 1")
    elif kernel.enabled not in _STATES:
        verdict.add_finding("off", f"the state of the kernel's audit is not known (enabled {kernel.enabled})", UNKNOWN, _STATE)
    if not kernel.receiver:
        text = "auditd does not run, so that records are only in the kernel's log, which keeps few"
        verdict.add_finding("not_running", text, DEGRADED, "systemctl enable --now auditd")
    for text, is_all in list_suppressed(kernel, places).items():
        verdict.add_finding("suppressed", text, DEGRADED if is_all else None, f"{_LIST}; remove the rule, or accept what it leaves out")


def _judge_boot(verdict: Verdict, kernel: Kernel, state: Mapping[str, Any]) -> None:
    """Add the managed rules that the next boot does not load, or loads again."""
    saved, loaded = parse_rules(state["texts"][0]), {rule.path for rule in kernel.rules if rule.is_managed}
    lost = sorted(loaded - saved)
    if lost:
        text = f"{RULES} does not have loaded rules, which are lost at the next boot: {', '.join(lost)}"
        verdict.add_finding("not_permanent", text, DEGRADED, _RUN_AGAIN)
    if saved and not state["installed"]:
        verdict.add_finding(
            "not_permanent", f"auditd is not installed, so that nothing loads {RULES} at boot", DEGRADED, "apt install auditd"
        )
