# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares containers before and after a change: whether each runs, keeps ending and being restarted, or fails its own health check."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..engine.api import Engine, EngineError
from ..engine.timestamps import parse_timestamp

REPORT, FAIL, UNDO = "report", "fail", "undo"
REMOVED = "removed"
# Seconds in which a service that lacks something usually ends, and after which a restarted one is stable (moby restartmanager.go).
_SETTLE, _STABLE = 3.0, 10.0
# From worst to best. `starting` has no result of its health check yet.
_RANKS = ("restarting", "unhealthy", "starting", "running", "healthy")


class ContainersWorse(Exception):
    """Containers got worse, and the change is to be undone."""


def describe_condition(inspect: Mapping[str, Any]) -> str:
    """Return the condition of a container: a word of _RANKS, `paused`, or `exited (CODE)`."""
    state = inspect.get("State") or {}
    status = str(state.get("Status") or "")
    if status == "exited":
        return f"exited ({state.get('ExitCode')})"
    health = (state.get("Health") or {}).get("Status") or "none"
    return health if status == "running" and health != "none" else status


def read_conditions(engine: Engine, containers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ID, name, condition and number of restarts of the containers of a snapshot (`take_snapshot`). Raises EngineUnreachable."""
    found = []
    for container in containers:
        inspect = _inspect(engine, container)
        condition = _RANKS[0] if container.get("looping") else describe_condition(inspect)
        found.append({**container, "condition": condition, "restarts": inspect.get("RestartCount", 0)})
    return found


def find_worse(
    engine: Engine, before: list[dict[str, Any]], moment: float, limit: float, changed: float | None = None
) -> tuple[list[dict[str, str]], list[str]]:
    """Return name, before and after of each container that got worse, and the names of those whose health check gave no result yet.

    before: from `read_conditions`. moment: when the engine worked again. changed: when the change began. Waits `limit` seconds at most, for
    containers that settle, and for health checks of those that were healthy if a result can come in time. Raises EngineUnreachable.
    """
    first = {c["id"]: _inspect(engine, c).get("RestartCount", 0) for c in before}
    began = time.monotonic()
    while True:
        inspects = [(container, _inspect(engine, container)) for container in before]
        waited = time.monotonic() - began
        awaited = [i for c, i in inspects if c["condition"] == "healthy" and _awaits_result(i, moment, waited)]
        settling = any(_is_settling(c, i, changed or moment, moment, waited) for c, i in inspects)
        if waited >= limit or not (settling or any(_get_interval(inspect) <= limit for inspect in awaited)):
            break
        time.sleep(min(1.0, limit - waited))
    found, unknown = [], []
    for container, inspect in inspects:
        if container["condition"] == "healthy" and _awaits_result(inspect, moment, waited):
            unknown.append(container["name"])
            continue
        after, times = describe_condition(inspect), inspect.get("RestartCount", 0) - first[container["id"]]
        if times > 0:
            after = f"restarting ({times} times in {waited:.0f} s, exit code {inspect['State'].get('ExitCode')})"
        if _is_worse(container["condition"], after):
            found.append({"name": container["name"], "before": container["condition"], "after": after})
    return found, unknown


def format_worse(worse: list[dict[str, str]]) -> str:
    """Return the containers that got worse as one message."""
    names = ", ".join(f"{entry['name']} ({entry['before']} before, {entry['after']} now)" for entry in worse)
    return f"containers got worse: {names}; see docker logs NAME and docs/what-stops-working.md"


def _inspect(engine: Engine, container: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(engine.get(f"/containers/{container['id']}/json"))
    except EngineError:  # 404, or one that the engine cannot inspect
        return {"State": {"Status": REMOVED}}


def _is_worse(before: str, after: str) -> bool:
    """Return whether `after` is worse. A process that ended with 0 is complete. Without a health result before, `unhealthy` is not worse."""
    if after == "exited (0)" or (before not in _RANKS[1:] and before != "paused"):
        return False
    word = after.partition(" ")[0]
    if before == "healthy":
        return word != "healthy"
    return word not in _RANKS[1:] and word != "paused"


def _is_settling(container: Mapping[str, Any], inspect: Mapping[str, Any], changed: float, moment: float, waited: float) -> bool:
    """Return whether a container may still end from what the change did: a loop of restarts shows only when its process ends again."""
    status, restarts = inspect["State"].get("Status"), inspect.get("RestartCount", 0)
    if status != "running":
        return status == "restarting" and waited < _SETTLE
    started = parse_timestamp(inspect["State"].get("StartedAt") or "") or moment
    has_restarted = restarts and restarts != container.get("restarts", restarts)
    return moment + waited - max(changed, started) < (_STABLE if has_restarted else _SETTLE)


def _get_interval(inspect: Mapping[str, Any]) -> float:
    """Return the seconds until the first check after a start of the container or the engine (moby daemon/health.go, monitor)."""
    check = (inspect.get("Config") or {}).get("Healthcheck") or {}
    usual = check.get("Interval") or 30e9
    return float(min(usual, check.get("StartInterval") or 5e9) if check.get("StartPeriod") else usual) / 1e9


def _awaits_result(inspect: Mapping[str, Any], moment: float, waited: float) -> bool:
    """Return whether the health check has no result since `moment` and still has time. Times are in nanoseconds (moby types/container)."""
    check, health = (inspect.get("Config") or {}).get("Healthcheck") or {}, inspect["State"].get("Health") or {}
    once = ((check.get("Interval") or 30e9) + (check.get("Timeout") or 30e9)) / 1e9
    own = (check.get("StartPeriod") or 0) / 1e9 + once * (check.get("Retries") or 3)
    if inspect["State"].get("Status") != "running" or health.get("Status") not in ("healthy", "starting") or waited > own + _SETTLE:
        return False
    results = [entry for entry in health.get("Log") or () if (parse_timestamp(entry.get("Start") or "") or 0) >= moment]
    return not results or bool(results[-1].get("ExitCode")) or health["Status"] == "starting"
