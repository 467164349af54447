# SPDX-License-Identifier: GPL-3.0-or-later
"""A PIDs limit for every container that sets none, by a means that the engine supports.

No upstream engine has the key `default-pids-limit` that tutorials put into daemon.json, and none starts with it. If this engine
supports it, it is used. Otherwise a systemd drop-in for the scopes of containers does the same (engine_config/drop_in_text.py).
daemon_config makes the change together with daemon.json: `apply` contains its option `pids_limit`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...engine.program import PIDS_KEY
from ..verdict import DISABLED, REQUIRED, Effect, LayerPlan
from .settings import DROP_IN, LAYER, SWITCH, explain_obstacle, is_key_supported

VARIABLE = "docker_daemon_default_pids_limit"
OPTION = f"docker_daemon_options['{PIDS_KEY}']"
# Tasks. The kernel counts threads like processes: 100 are too few for the default configurations of Varnish, Apache, MariaDB, PostgreSQL or a
# JVM under load (docs/services.md), and 512 stop a fork bomb as well.
DEFAULT = 512
# How many times the peak of a container must fit into the limit, because observation rarely sees the highest load.
HEADROOM, DEFAULT_HEADROOM = "docker_daemon_pids_limit_headroom", 4
# The most that a kernel accepts in pids.max (include/linux/threads.h: PID_MAX_LIMIT, on 64 bits).
MAX_LIMIT = 4194304
# `docker exec` puts runc's own threads into the container's cgroup. Measured on two processors with runc 1.1.15 and one process in
# the container: it fails with 6 tasks ("read init-p: connection reset by peer") and works with 8. A start takes no more than 1.
EXEC_FLOOR = 16


@dataclass
class PidsLimit:
    """The desired limit, in tasks; None if it is invalid: `blockers` then says why."""

    value: int | None = None
    notices: list[str] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)


def parse_limit(desired: Mapping[str, Any]) -> PidsLimit:
    """Return the limit from the variable, or from the tutorials' key in `docker_daemon_options`.

    Two different values are a conflict, unless the variable has its default.
    """
    options = desired.get("docker_daemon_options")
    plain = desired.get(VARIABLE, DEFAULT)
    if not isinstance(options, Mapping) or PIDS_KEY not in options:
        return _check_limit(plain, VARIABLE)
    limit = _check_limit(options[PIDS_KEY], OPTION)
    if limit.value is None:
        return limit
    variable = _check_limit(plain, VARIABLE)
    if variable.value not in (DEFAULT, limit.value):
        limit.blockers.append(f"{OPTION} says {limit.value} and {VARIABLE} says {plain}; keep one of them")
    limit.notices.append(
        f"{OPTION}: {limit.value} is understood as {VARIABLE}: no upstream engine knows the key {PIDS_KEY}, and none starts with it in"
        " daemon.json"
    )
    return limit


def _check_limit(value: Any, name: str) -> PidsLimit:
    advice = f"set an integer of tasks, 1 or more and at most {MAX_LIMIT}, or {SWITCH}: {DISABLED} for no default"
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return PidsLimit(blockers=[f"{name}: {value!r} is not an integer; {advice}"])
    if value < 1 or value > MAX_LIMIT:
        return PidsLimit(blockers=[f"{name}: {value} is not a limit; {advice}"])
    return PidsLimit(value)


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification requires: `limit`, tasks per container."""
    return {"limit": parse_limit(desired).value}


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan the desired limit; if the layer is disabled, plan the removal of the managed drop-in."""
    result = LayerPlan(LAYER, str(desired.get(SWITCH) or REQUIRED))
    managed = observed["layers"][LAYER]["drop_in"]
    if result.requirement == DISABLED:
        if managed["exists"]:
            result.apply = {"pids_limit": 0}
            result.effects.append(Effect("running containers without their own limit get systemd's default (TasksMax) at once"))
        return result

    limit, headroom = parse_limit(desired), _parse_headroom(desired, result)
    result.notices += limit.notices
    result.blockers += limit.blockers
    if limit.value is None:
        return result
    engine = observed["engine"]
    if is_key_supported(observed):
        result.daemon_keys = {PIDS_KEY: limit.value}
        result.apply = {"pids_limit": 0} if managed["exists"] else {}
        return result
    reason = explain_obstacle(observed)
    if reason:
        return result.mark_unsupported(reason, SWITCH)

    result.apply = {"pids_limit": limit.value}
    _warn_of_overrides(observed["layers"][LAYER]["drop_ins"], limit.value, result)
    if limit.value < EXEC_FLOOR:
        result.warnings.append(
            f"{VARIABLE}: {limit.value} is too low for docker exec, which needs about 8 tasks for the runtime's threads; expect it to fail"
        )
    if managed["tasks_max"] != str(limit.value):
        accept = bool(desired.get("docker_daemon_pids_limit_accept"))
        _compare_usage(engine.get("containers") or [], limit.value, headroom, accept, result)
    return result


def _warn_of_overrides(drop_ins: list[Mapping[str, Any]], limit: int, result: LayerPlan) -> None:
    """Warn of drop-ins that systemd reads after the managed one: they override it."""
    for entry in drop_ins:
        if not entry["is_managed"] and entry["tasks_max"] not in (None, str(limit)) and entry["name"] > DROP_IN:
            result.warnings.append(
                f"{entry['path']}: TasksMax={entry['tasks_max']} is read after {DROP_IN} and overrides the default limit of {limit};"
                " remove it, or its TasksMax line"
            )


def _parse_headroom(desired: Mapping[str, Any], result: LayerPlan) -> float:
    """Return how many times a container's peak must fit into the limit. A wrong value is a blocker."""
    value = desired.get(HEADROOM, DEFAULT_HEADROOM)
    try:
        headroom = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        headroom = math.nan
    if not 1 <= headroom <= MAX_LIMIT:
        result.blockers.append(
            f"{HEADROOM}: {value!r} is not a factor; set a number of 1 or more, such as {DEFAULT_HEADROOM}, or 1 to be warned only at the limit"
        )
        return DEFAULT_HEADROOM
    return headroom


def _compare_usage(containers: list[Mapping[str, Any]], limit: int, headroom: float, accept: bool, result: LayerPlan) -> None:
    """Report running containers that reach or come near the limit: the drop-in applies to them from the next daemon-reload.

    Beyond pids.max nothing is killed; fork and clone fail with EAGAIN (Documentation/admin-guide/cgroup-v2.rst).
    """
    reached, near, affected = [], list[tuple[int, str]](), []
    for container in containers:
        name, pids = container["name"], container.get("pids") or {}
        if (container.get("pids_limit") or 0) > 0 or (pids.get("max") is not None and pids["max"] <= limit):
            continue
        affected.append(name)
        current, peak = pids.get("current"), pids.get("peak")
        most = max(current or 0, peak or 0)
        own = min(max(math.ceil(most * headroom), EXEC_FLOOR), MAX_LIMIT)
        usage = f"{current} tasks now, " + (f"peak {peak}" if peak is not None else "and this kernel counts no peak")
        advice = f"docker update --pids-limit {own} {name}"
        if current is not None and current >= limit:
            reached.append(f"{name} ({usage}; {advice})")
        elif most * headroom > limit or most >= limit:
            near.append((most, f"{name} ({usage}; {advice})"))
    if reached:
        text = f"{VARIABLE}: {limit} is already reached by {', '.join(reached)}, which could start no more processes or threads"
        advice = "give them their own limit, raise it, or set docker_daemon_pids_limit_accept: true"
        (result.warnings if accept else result.blockers).append(text if accept else f"{text}; {advice}")
    if near:
        names = ", ".join(text for unused, text in sorted(near, key=lambda entry: -entry[0]))
        result.warnings.append(
            f"{VARIABLE}: {limit} may be too low under load for {names}: the peak times {HEADROOM} ({headroom:g}) exceeds it;"
            " give them their own limit, also in their compose file (pids_limit), or raise the default"
        )
    if affected:
        result.effects.append(Effect(f"the PIDs limit of {limit} applies at once to running containers without their own limit", affected))
