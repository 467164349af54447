# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preflight of a rollout finds of one host, and what becomes of that host in it. Pure.

A note is what `plan-HOST.json` holds, and all that the table of the fleet is made of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from ...module_utils.formatting import format_contents
from ..planning.plan import narrowed
from ..planning.table import AS_WANTED, CANNOT, DISABLED, layer_state, not_enforced
from ..renamed_variables import find_inventory_problem
from ..report.read import written
from ..report.text import age

# The batches, in their order. A host that is in the groups of two goes with the first.
BATCHES = VALIDATION, CANARY, FLEET = ("validation", "canary", "fleet")
# What becomes of a host.
TAKE = "take"  # it goes into its batch
VERIFIED = "verified"  # it is as desired, and was verified a short time ago: nothing to do
REFUSED = "refused"  # something stands in the way
UNREACHABLE = "unreachable"
# What the inventory may say of a host that can't be taken.
STOP, LEAVE_OUT = "stop", "leave_out"
# States of a layer in which nothing is done; one that a host cannot carry, and must, is refused before this is asked.
_AT_REST = (AS_WANTED, DISABLED, CANNOT)
SWITCHES = {"bulkhead_blocked": (STOP, LEAVE_OUT), "bulkhead_unreachable": (STOP, LEAVE_OUT)}


@dataclass(frozen=True)
class Verification:
    """The last report of a host, as far as it can spare it a batch.

    report: `verify-HOST.json`, None without one. expect: what verification would demand now. selected: the layers that the run is about.
    minutes: how old it may be; 0: no verification spares anything. now: seconds since the epoch, by the control node's clock.
    """

    report: Mapping[str, Any] | None
    expect: Mapping[str, Any]
    selected: Collection[str]
    minutes: float
    now: float


def batch_of(groups: Collection[str]) -> str:
    return next((batch for batch in BATCHES if batch in groups), FLEET)


def make(
    host: str, plan: Mapping[str, Any], groups: Collection[str], switches: Mapping[str, str], verification: Verification
) -> dict[str, Any]:
    """plan: what `plan_layers` returned, or the failure of the task. switches: of SWITCHES, as the inventory has them for this host."""
    batch = batch_of(groups)
    fate, why = _fate(plan, verification)
    # A batch that is there to be tried first is worth nothing without its hosts; of a fleet some host is always down.
    unreachable = switches.get("bulkhead_unreachable") or (LEAVE_OUT if batch == FLEET else STOP)
    choice = {REFUSED: switches.get("bulkhead_blocked") or STOP, UNREACHABLE: unreachable}.get(fate)
    observed = plan.get("observed") or {}
    layers = plan.get("layers") or {}
    return {
        "host": host,
        "batch": batch,
        "fate": fate,
        "why": why,
        "stops": choice == STOP,
        "about": _about(observed) if observed else {},
        "layers": {name: dict(zip(("state", "what"), layer_state(layer), strict=True)) for name, layer in layers.items()},
        "effects": [effect(text, [c["name"] for c in observed["engine"].get("containers") or ()]) for text in plan.get("effects", ())],
        **{kind: list(plan.get(kind) or ()) for kind in ("warnings", "notices", "blockers")},
    }


def problem(variables: Mapping[str, Any]) -> str:
    """What is wrong with the inventory's switches of a rollout, one sentence; empty when nothing is."""
    for name, choices in SWITCHES.items():
        if name in variables and variables[name] not in choices:
            return f"{name}: {variables[name]!r} is not valid; write {' or '.join(choices)}"
    return find_inventory_problem(variables)


def _about(observed: Mapping[str, Any]) -> dict[str, Any]:
    engine, room = observed["engine"], (observed.get("pending") or {}).get("room")
    state = f"engine {engine['version']}" if engine.get("running") else "an engine that does not run"
    return {
        "system": f"{observed['system']['distribution_name']}, kernel {observed['system']['kernel']}",
        "engine": state if engine["installed"] else "no engine",
        "data": format_contents(engine.get("contents") or {}),
        "free": room["free"] if room else None,
    }


def effect(text: str, names: Sequence[str]) -> dict[str, Any]:
    """A sentence of what containers feel, and the containers that it ends with: `{"text": …, "containers": […]}`."""
    head, colon, tail = text.rpartition(": ")
    found = tail.split(", ")
    if colon and names and set(found) <= set(names):
        return {"text": head, "containers": found}
    return {"text": text, "containers": []}


def digests(expect: Mapping[str, Any]) -> dict[str, str]:
    """Layer → what stands for all that is expected of it, so that a report can say what it was held against."""
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16] for name, value in expect.items()
    }


def _fate(plan: Mapping[str, Any], verification: Verification) -> tuple[str, str]:
    if plan.get("unreachable"):
        return UNREACHABLE, " ".join(str(plan.get("msg", "no reason given")).removeprefix("Task failed: ").split())
    if plan.get("blockers") or "layers" not in plan:
        return REFUSED, str(plan.get("msg", "nothing could be planned")).removeprefix("Task failed: ")
    spared = _spared(plan, verification)
    return (VERIFIED, spared) if spared else (TAKE, "")


def _spared(plan: Mapping[str, Any], verification: Verification) -> str:
    """Since when a host is verified to be what is desired; empty when it has to be gone to."""
    report = verification.report or {}
    verified = report.get("verification") or {}
    if plan.get("warnings") or any(layer_state(layer)[0] not in _AT_REST for layer in plan["layers"].values()):
        return ""
    seconds = verification.now - written(report) if report else inf
    if not 0 <= seconds < verification.minutes * 60 or not verified.get("probe"):
        return ""
    # Both by the host's clock. An engine that started later is another one, and so is a machine that took over the name.
    started = plan["observed"]["engine"].get("started_at")
    if started is None or started >= verified.get("at", 0.0):
        return ""
    desired, held, about = digests(verification.expect), report.get("expected") or {}, narrowed(verification.selected)
    if any(held.get(name) != desired.get(name) for name in (desired.keys() | held.keys() if about is None else about)):
        return ""
    if report.get("failure") or not_enforced(verified, only=about):
        return ""
    return f"as desired, and verified {age(seconds)} ago"
