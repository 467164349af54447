# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides from a host's plan what a rollout does with the host. Pure.

The decision is the content of `plan-HOST.json`; the table of all hosts is rendered from the decisions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from ...module_utils.formatting import format_contents
from ..planning.image_store import describe_store
from ..planning.plan import narrow_selection
from ..planning.table import AS_DESIRED, DISABLED, NOT_APPLICABLE, describe_layer
from ..renamed_variables import find_inventory_problem
from ..report.read import get_report_time
from ..report.text import format_age
from ..report.verification_table import list_unenforced

# The batches, in their order. A host in the groups of several belongs to the first.
BATCHES = VALIDATION, CANARY, FLEET = ("validation", "canary", "fleet")
# Decisions.
INCLUDED = "included"  # it belongs to its batch
SKIPPED = "skipped"  # as desired and recently verified: nothing to do
BLOCKED = "blocked"  # its plan has blockers
UNREACHABLE = "unreachable"
# What the inventory can choose for a blocked or unreachable host.
STOP, LEAVE_OUT = "stop", "leave_out"
# States of a layer that need no change. A required layer that does not apply is a blocker, which is checked first.
_NO_CHANGE = (AS_DESIRED, DISABLED, NOT_APPLICABLE)
SWITCHES = {"bulkhead_blocked": (STOP, LEAVE_OUT), "bulkhead_unreachable": (STOP, LEAVE_OUT)}


@dataclass(frozen=True)
class LastReport:
    """The last verification of a host, because of which a rollout may skip the host.

    report: `verify-HOST.json`; None without one. expect: present expectations of the verification. selected: the layers of this run.
    minutes: maximum age; 0: no host is skipped. now: seconds since the epoch, by the control node's clock.
    """

    report: Mapping[str, Any] | None
    expect: Mapping[str, Any]
    selected: Collection[str]
    minutes: float
    now: float


def choose_batch(groups: Collection[str]) -> str:
    """Return the batch of a host that is in these groups."""
    return next((batch for batch in BATCHES if batch in groups), FLEET)


def decide_host(
    host: str, plan: Mapping[str, Any], groups: Collection[str], switches: Mapping[str, str], last: LastReport
) -> dict[str, Any]:
    """Return the decision for a host. plan: result of `plan_layers`, or the failure of the task. switches: values of SWITCHES for this host."""
    batch = choose_batch(groups)
    decision, why = _decide_plan(plan, last)
    # An early batch without its hosts tests nothing, so it stops the rollout. In a large fleet some host is always down.
    unreachable = switches.get("bulkhead_unreachable") or (LEAVE_OUT if batch == FLEET else STOP)
    choice = {BLOCKED: switches.get("bulkhead_blocked") or STOP, UNREACHABLE: unreachable}.get(decision)
    observed = plan.get("observed") or {}
    layers = plan.get("layers") or {}
    return {
        "host": host,
        "batch": batch,
        "decision": decision,
        "why": why,
        "stops": choice == STOP,
        "about": _describe_host(observed) if observed else {},
        "layers": {name: dict(zip(("state", "text"), describe_layer(layer), strict=True)) for name, layer in layers.items()},
        "effects": list(plan.get("affected") or ()),
        **{kind: list(plan.get(kind) or ()) for kind in ("warnings", "notices", "blockers")},
    }


def find_switch_problem(variables: Mapping[str, Any]) -> str:
    """Return what is wrong with the rollout switches of a host, one message; empty if nothing is."""
    for name, choices in SWITCHES.items():
        if name in variables and variables[name] not in choices:
            return f"{name}: {variables[name]!r} is not valid; write {' or '.join(choices)}"
    return find_inventory_problem(variables)


def hash_expectations(expect: Mapping[str, Any]) -> dict[str, str]:
    """Return layer -> digest of its expectations, which a report keeps to show what the host was verified against."""
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16] for name, value in expect.items()
    }


def _describe_host(observed: Mapping[str, Any]) -> dict[str, Any]:
    engine, space = observed["engine"], (observed.get("pending") or {}).get("disk_space")
    stopped = "the engine does not answer" if engine.get("pid") else "the engine is not running"
    state = ", ".join(filter(None, [f"engine {engine['version']}", describe_store(engine)])) if engine.get("running") else stopped
    return {
        "system": f"{observed['system']['distribution_name']}, kernel {observed['system']['kernel']}",
        "engine": state if engine["installed"] else "no engine",
        "data": format_contents(engine.get("contents") or {}),
        "free": space["free"] if space else None,
    }


def _decide_plan(plan: Mapping[str, Any], last: LastReport) -> tuple[str, str]:
    """Return the decision and its reason."""
    if plan.get("unreachable"):
        return UNREACHABLE, " ".join(str(plan.get("msg", "no reason given")).removeprefix("Task failed: ").split())
    if plan.get("blockers") or "layers" not in plan:
        return BLOCKED, str(plan.get("msg", "nothing could be planned")).removeprefix("Task failed: ")
    verified = _describe_valid_verification(plan, last)
    return (SKIPPED, verified) if verified else (INCLUDED, "")


def _describe_valid_verification(plan: Mapping[str, Any], last: LastReport) -> str:
    """Return how long ago the host was verified to be as desired; empty if the rollout must visit it."""
    report = last.report or {}
    verification = report.get("verification") or {}
    if plan.get("warnings") or any(describe_layer(layer)[0] not in _NO_CHANGE for layer in plan["layers"].values()):
        return ""
    seconds = last.now - get_report_time(report) if report else inf
    if not 0 <= seconds < last.minutes * 60 or not verification.get("probe"):
        return ""
    # Both times by the host's clock. A later start means a restarted engine, or another machine with the same name.
    started = plan["observed"]["engine"].get("started_at")
    if started is None or started >= verification.get("at", 0.0):
        return ""
    desired, earlier, selected = hash_expectations(last.expect), report.get("expected") or {}, narrow_selection(last.selected)
    if any(earlier.get(name) != desired.get(name) for name in (desired.keys() | earlier.keys() if selected is None else selected)):
        return ""
    # Waivers do not count here: they may have changed or expired since, so a host that needs one is verified again.
    if report.get("failure") or list_unenforced(verification, only=selected):
        return ""
    return f"as desired and verified {format_age(seconds)} ago"
