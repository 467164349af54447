# SPDX-License-Identifier: GPL-3.0-or-later
"""A PIDs limit for every container that sets none, by the means that the engine really has.

No upstream engine has the key `default-pids-limit` that tutorials put into daemon.json, and none starts with it. Where this one does
know it, it is used; everywhere else the systemd drop-in for the scopes that containers run in does the same (engine/drop_in.py).
The change itself is made by daemon_config, together with daemon.json: `apply` holds its option `pids_limit`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...engine_config import drop_in
from ..verdict import DISABLED, REQUIRED, LayerPlan

LAYER = "pids_limit"
KEY = "default-pids-limit"
VARIABLE = "docker_daemon_default_pids_limit"
OPTION = f"docker_daemon_options['{KEY}']"
DEFAULT = 100
# `docker exec` puts runc's own threads into the container's cgroup. Measured on two processors with runc 1.1.15 and one process in
# the container: it fails with 6 tasks ("read init-p: connection reset by peer") and works with 8. A start takes no more than 1.
EXEC_FLOOR = 16


@dataclass
class Limit:
    """The limit that the inventory asks for; None where it says nothing usable, and then `blockers` says why."""

    value: int | None = None
    notices: list[str] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)


def wanted_limit(desired: Mapping[str, Any]) -> Limit:
    """The limit from the variable, or from `docker_daemon_options` where a tutorial's key stands there.

    Both given and different is a conflict, unless the variable has its default: then nobody has written it.
    """
    options = desired.get("docker_daemon_options")
    plain = desired.get(VARIABLE, DEFAULT)
    if not isinstance(options, Mapping) or KEY not in options:
        return _checked(plain, VARIABLE)
    limit = _checked(options[KEY], OPTION)
    if limit.value is None:
        return limit
    variable = _checked(plain, VARIABLE)
    if variable.value not in (DEFAULT, limit.value):
        limit.blockers.append(f"{OPTION} says {limit.value} and {VARIABLE} says {plain}; keep one of them")
    limit.notices.append(
        f"{OPTION}: {limit.value} is understood as {VARIABLE}: no upstream engine knows the key {KEY}, and none starts with it in"
        " daemon.json"
    )
    return limit


def _checked(value: Any, name: str) -> Limit:
    advice = f"write a whole number of tasks, 1 or more, or docker_daemon_pids_limit_layer: {DISABLED} for no default"
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return Limit(blockers=[f"{name}: {value!r} is no number; {advice}"])
    if value < 1:
        return Limit(blockers=[f"{name}: {value} is no limit; {advice}"])
    return Limit(value)


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """What verification demands: `limit`, tasks a container."""
    return {"limit": wanted_limit(desired).value}


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """What this host needs for the desired limit; with the layer disabled, that what is ours goes."""
    result = LayerPlan(LAYER, str(desired.get("docker_daemon_pids_limit_layer") or REQUIRED))
    ours = observed["layers"][LAYER]["drop_in"]
    if result.requirement == DISABLED:
        if ours["exists"]:
            result.apply = {"pids_limit": 0}
            result.effects.append("running containers without a limit of their own go back to systemd's default (TasksMax) at once")
        return result

    limit = wanted_limit(desired)
    result.notices += limit.notices
    result.blockers += limit.blockers
    if limit.value is None:
        return result
    engine = observed["engine"]
    if knows_key(observed):
        result.daemon_keys = {KEY: limit.value}
        result.apply = {"pids_limit": 0} if ours["exists"] else {}
        return result
    reason = obstacle(observed)
    if reason:
        return result.cannot(reason)

    result.apply = {"pids_limit": limit.value}
    _warn_of_later(observed["layers"][LAYER]["drop_ins"], limit.value, result)
    if limit.value < EXEC_FLOOR:
        result.warnings.append(
            f"{VARIABLE}: {limit.value} leaves docker exec no room for the runtime's own threads, about 8; expect it to fail"
        )
    if ours["tasks_max"] != str(limit.value):
        _compare(engine.get("containers") or [], limit.value, bool(desired.get("docker_daemon_pids_limit_accept")), result)
    return result


def knows_key(observed: Mapping[str, Any]) -> bool:
    """Whether this engine takes `default-pids-limit` in daemon.json."""
    return bool((observed.get("dockerd") or {}).get("knows", {}).get(KEY))


def obstacle(observed: Mapping[str, Any]) -> str:
    """Why no systemd drop-in can set the limit here; empty when one can."""
    engine, system = observed["engine"], observed["system"]
    otherwise = "docker_daemon_pids_limit_layer: optional accepts a host without it"
    if not system.get("systemd"):
        return f"the default PIDs limit needs systemd, which does not run this host; {otherwise}"
    if (engine.get("cgroup_version") or system.get("cgroup_version")) != 2:
        return f"the default PIDs limit needs cgroup v2, and this host has v1; {otherwise}"
    driver = engine.get("cgroup_driver")
    if driver not in (None, "systemd"):  # None: the engine is stopped, and can't say
        return (
            f"the default PIDs limit needs the engine's cgroup driver systemd, and it is {driver}; set docker_daemon_options:"
            f' {{"exec-opts": ["native.cgroupdriver=systemd"]}}, or {otherwise}'
        )
    return ""


def _warn_of_later(drop_ins: list[Mapping[str, Any]], limit: int, result: LayerPlan) -> None:
    """Drop-ins that systemd reads after ours have the last word."""
    for entry in drop_ins:
        if not entry["ours"] and entry["tasks_max"] not in (None, str(limit)) and entry["name"] > drop_in.NAME:
            result.warnings.append(
                f"{entry['path']}: TasksMax={entry['tasks_max']} is read after {drop_in.NAME} and wins over the default limit of {limit};"
                " remove it, or its TasksMax line"
            )


def _compare(containers: list[Mapping[str, Any]], limit: int, accept: bool, result: LayerPlan) -> None:
    """Who of the running containers would hit the limit: the drop-in holds for them from the next daemon-reload on.

    Beyond pids.max nothing is killed; fork and clone fail with EAGAIN (Documentation/admin-guide/cgroup-v2.rst).
    """
    now, once, touched = [], [], []
    for container in containers:
        pids = container.get("pids") or {}
        if (container.get("pids_limit") or 0) > 0 or (pids.get("max") is not None and pids["max"] <= limit):
            continue
        touched.append(container["name"])
        current, peak = pids.get("current"), pids.get("peak")
        if current is not None and current >= limit:
            now.append(f"{container['name']} (pids.current {current})")
        elif peak is not None and peak >= limit:
            once.append(f"{container['name']} (pids.peak {peak})")
    if now:
        sentence = f"{VARIABLE}: {limit} is reached already by {', '.join(now)}, and could start no further process or thread"
        advice = "give these a limit of their own (docker update --pids-limit N), raise it, or set docker_daemon_pids_limit_accept: true"
        (result.warnings if accept else result.blockers).append(sentence if accept else f"{sentence}; {advice}")
    if once:
        result.warnings.append(f"{VARIABLE}: {limit} was reached at some time by {', '.join(once)}; watch pids.events there")
    if touched:
        result.effects.append(
            f"the PIDs limit of {limit} holds at once for running containers without one of their own: {', '.join(touched)}"
        )
