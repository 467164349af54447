# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the audit rules of the engine's files. Pure; control node only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...host.audit_loading import KEY
from ...host.audit_rules import FOLDERS, RULES
from ..verdict import DISABLED, Change, LayerPlan
from .kernel import IMMUTABLE, Kernel, parse_kernel
from .rules import (
    EXCLUDED,
    LAYER,
    SWITCH,
    WatchedPath,
    format_rules,
    is_covered,
    list_covering,
    list_places,
    list_unmanaged,
    list_watched,
    parse_rules,
    render_folders,
    render_rules,
)


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan a rule for each path that no rule watches. Rules of others stay, and a path that they watch gets no second rule."""
    state = observed["layers"][LAYER]
    planned = LayerPlan(LAYER, desired[SWITCH])
    disabled = planned.requirement == DISABLED
    planned.blockers += _find_blockers(desired, state)
    kernel, problem = None, ""
    try:
        kernel = parse_kernel(state)
    except ValueError as error:
        problem = f"the kernel's audit rules cannot be read ({error}); if the kernel was started with audit=0, boot without it"
    if not disabled:
        problem = _explain_missing_support(state, kernel) or problem
        if problem:
            return planned.mark_unsupported(problem, SWITCH)
    places = [] if disabled or kernel is None else _choose_places(planned, observed, kernel, list_excluded(desired))
    _plan_files(planned, state, places)
    if kernel:
        _plan_kernel(planned, kernel, places)
    if planned.changes:
        planned.apply = {
            "rules": [{"path": place.real, "folder": place.kind.folder} for place in places],
            "rules_text": render_rules(places),
            "folders_text": render_folders(places),
            "load": bool(kernel and kernel.enabled != IMMUTABLE),
        }
    return planned


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification expects: the paths that need no rule."""
    return {"exclude": list_excluded(desired)}


def list_excluded(desired: Mapping[str, Any]) -> list[str]:
    """Return the paths that get no rule."""
    return [str(path).rstrip("/") or "/" for path in desired[EXCLUDED]]


def _find_blockers(desired: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
    found = [
        f"{EXCLUDED}: {path!r} is not an absolute path; write one that begins with /"
        for path in desired[EXCLUDED]
        if not str(path).startswith("/")
    ]
    if lines := list_unmanaged(state["texts"][0]):
        found.append(f"{RULES}: {lines[0]!r} is not a line of Bulkhead; move such lines to another file in that folder")
    return found


def _explain_missing_support(state: Mapping[str, Any], kernel: Kernel | None) -> str:
    """Return why rules would be of no use on this host; empty otherwise. Without auditd, records would fill the kernel's log."""
    if not state["installed"]:
        return "auditd is not installed; install the package auditd"
    if kernel and not kernel.receiver and kernel.enabled != IMMUTABLE:
        return "auditd does not run; run `systemctl enable --now auditd`"
    return ""


def _choose_places(planned: LayerPlan, observed: Mapping[str, Any], kernel: Kernel, excluded: list[str]) -> list[WatchedPath]:
    """Return the places with a rule of Bulkhead: those that no other rule watches, and those that have one."""
    own = parse_rules(observed["layers"][LAYER]["texts"][0]) | {rule.path for rule in kernel.rules if rule.is_managed}
    chosen = []
    for place in list_watched(observed, excluded):
        others = [rule for rule in list_covering(kernel, place) if not rule.is_managed]
        if place.real in own or not is_covered(others):
            chosen.append(place)
        else:
            planned.notices.append(f"{place.path} is watched by an audit rule of others ({', '.join(rule.path for rule in others)})")
    for place in list_places(observed).values():
        if place.unfit:
            planned.warnings.append(f"{place.described} gets no audit rule: it {place.unfit}")
    return chosen


def _plan_files(planned: LayerPlan, state: Mapping[str, Any], places: Iterable[WatchedPath]) -> None:
    listed = list(places)
    for path, before, after in zip((RULES, FOLDERS), state["texts"], (render_rules(listed), render_folders(listed)), strict=True):
        if (before or "") != after:
            summary = f"{path} is {'removed' if not after else 'changed' if before else 'created'}"
            planned.changes.append(Change(path, summary, before or "", after))


def _plan_kernel(planned: LayerPlan, kernel: Kernel, places: Iterable[WatchedPath]) -> None:
    """Add the rules that the kernel gets and loses, or a warning if it accepts none."""
    before = [(rule.path, rule.folder) for rule in kernel.rules if rule.is_managed]
    after = [(place.real, place.kind.folder) for place in places]
    more, less = [rule[0] for rule in after if rule not in before], [rule[0] for rule in before if rule not in after]
    if not more and not less:
        return
    if kernel.enabled == IMMUTABLE:
        parts = [f"{_count_rules(paths)} {word}" for paths, word in ((more, "added"), (less, "removed")) if paths]
        planned.warnings.append(
            f"the kernel's audit is immutable (enabled 2) and accepts no change until the next boot; then {' and '.join(parts)}"
        )
        return
    parts = [f"{word} {', '.join(paths)}" for paths, word in ((more, "watch"), (less, "do not watch")) if paths]
    texts = [format_rules(sorted({path for path, _folder in rules})) for rules in (before, after)]
    planned.changes.append(Change(f"auditctl -l -k {KEY}", "; ".join(parts), *texts))


def _count_rules(paths: list[str]) -> str:
    return "1 rule is" if len(paths) == 1 else f"{len(paths)} rules are"
