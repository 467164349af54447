# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine around a restart: what ran before, whether the engine answers again, and whether the same containers run again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.records import read_records
from ..engine.timestamps import parse_timestamp
from ..host.root import Host

# Seconds: the wait for a container whose StopTimeout is below 0 (no limit), and what the engine gets in addition to a StopTimeout.
_NO_LIMIT, _MARGIN = 3600, 30
# How long a start is repeated while containerd still has the task of the previous one.
_STALE_SECONDS = 20.0


@dataclass
class EngineSnapshot:
    """The engine before a change. containers: ID and name of each running one, oldest first; `looping` for one that keeps ending and being
    restarted, which need not run after the change."""

    running: bool = False
    live_restore: bool = False
    swarm: bool = False
    root: str = ""
    containers: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class RestartResult:
    """started: names that had to be started; gone: names removed when they stopped (`--rm`); failed: name → reason."""

    started: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def take_snapshot(host: Host, engine: Engine) -> EngineSnapshot:
    """Return the present state of the engine; `running` is false when it does not answer."""
    try:
        info = engine.get("/info")
        listed = engine.get("/containers/json")
    except (EngineError, EngineUnreachable):
        return EngineSnapshot()
    temporary = read_records(host)
    containers = [
        {"id": c["Id"], "name": (c.get("Names") or [c["Id"][:12]])[0].lstrip("/"), **({"looping": True} if _is_looping(engine, c) else {})}
        for c in sorted(listed, key=lambda c: c.get("Created", 0))
        if not any(record.has_container(c) for record in temporary)
    ]
    swarm = (info.get("Swarm") or {}).get("LocalNodeState") not in (None, "", "inactive")
    return EngineSnapshot(True, bool(info.get("LiveRestoreEnabled")), swarm, info.get("DockerRootDir", ""), containers)


def _is_looping(engine: Engine, listed: dict[str, Any]) -> bool:
    """Return whether the restart policy restarts a container now, or did seconds ago (the engine then reports `Up 3 seconds`)."""
    if listed.get("State") == "restarting":
        return True
    if "second" not in listed.get("Status", ""):
        return False
    try:
        return bool(engine.get(f"/containers/{listed['Id']}/json").get("RestartCount"))
    except (EngineError, EngineUnreachable):
        return False


def wait_for_engine(engine: Engine, timeout: float) -> bool:
    """Return whether `/_ping` and `/info` answer within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        if engine.is_up():
            try:
                engine.get("/info")
                return True
            except (EngineError, EngineUnreachable):
                pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.25)


def wait_for_live_restore(engine: Engine, timeout: float) -> bool:
    """Return whether the running engine switches on live-restore within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if engine.get("/info").get("LiveRestoreEnabled"):
                return True
        except (EngineError, EngineUnreachable):
            pass
        time.sleep(0.1)
    return False


def wait_for_reload(engine: Engine, moment: float, timeout: float, failed: Callable[[], bool]) -> bool:
    """Return whether the engine reports within `timeout` seconds a reload of its configuration since `moment` (seconds since the epoch).

    It reports an event (daemon/reload.go), whatever its log level; none when it rejects the configuration. `failed` tells whether it did;
    it is called rarely, because it reads the journal.
    """
    deadline = time.monotonic() + timeout
    next_check = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            window = {"since": f"{moment:.3f}", "until": f"{time.time():.3f}"}
            if engine.get("/events", **window, filters={"type": ["daemon"], "event": ["reload"]}):
                return True
        except (EngineError, EngineUnreachable):
            pass
        if time.monotonic() > next_check:
            if failed():
                return False
            next_check = time.monotonic() + 3
        time.sleep(0.2)
    return False


def stop_containers(engine: Engine, containers: list[dict[str, Any]]) -> None:
    """Stop containers, each within its own StopTimeout, the youngest first. Raises EngineError, EngineUnreachable."""
    for container in reversed(containers):
        stop_container(engine, container["id"])


def stop_container(engine: Engine, identifier: str) -> None:
    """Stop one container. Raises EngineError, EngineUnreachable."""
    try:
        limit = (engine.get(f"/containers/{identifier}/json").get("Config") or {}).get("StopTimeout")
        patience = _NO_LIMIT if limit is not None and limit < 0 else (limit or 0) + _MARGIN
        engine.post(f"/containers/{identifier}/stop", patience=max(engine.timeout, patience))
    except EngineError as error:
        if error.status != 404:  # --rm removes it when it stops
            raise


def list_ended_after(engine: Engine, containers: list[dict[str, Any]], moment: float) -> list[dict[str, Any]]:
    """Return the containers that ended after `moment` (seconds since the epoch); none when the engine does not answer."""
    try:
        return [
            container
            for container in _list_missing(engine, containers, RestartResult())
            if (_read_end(engine, container["id"]) or 0) > moment
        ]
    except (EngineError, EngineUnreachable):
        return []


def _read_end(engine: Engine, identifier: str) -> float | None:
    return parse_timestamp(engine.get(f"/containers/{identifier}/json")["State"]["FinishedAt"])


def restart_containers(engine: Engine, containers: list[dict[str, Any]], timeout: float, kept_running: bool = False) -> RestartResult:
    """Start the containers that do not run; their restart policy gets two seconds to do it first.

    kept_running: whether they kept running during the engine's restart (live-restore); one that exited with 0 meanwhile is then complete,
    and not started again. It tries twice, because a container may share the namespaces of a later one.
    """
    result = RestartResult()
    if kept_running:
        complete = {c["Id"] for c in engine.get("/containers/json", all="1") if c.get("Status", "").startswith("Exited (0)")}
        containers = [container for container in containers if container["id"] not in complete]
    missing = _list_missing(engine, containers, result)
    deadline = time.monotonic() + min(2.0, timeout)
    while missing and time.monotonic() < deadline:
        time.sleep(0.25)
        missing = _list_missing(engine, containers, result)
    # containerd may keep the task of a container whose engine was killed for some seconds ("already exists"; moby daemon/monitor.go).
    deadline, attempts = time.monotonic() + min(_STALE_SECONDS, timeout), 0
    while attempts < 2 or (any("already exists" in text for text in result.failed.values()) and time.monotonic() < deadline):
        attempts += 1
        if attempts > 2:
            time.sleep(1)
        result.failed = {}
        for container in missing:
            try:
                engine.post(f"/containers/{container['id']}/start")
                result.started.append(container["name"])
            except EngineError as error:
                result.failed[container["name"]] = error.message
        missing = [c for c in _list_missing(engine, containers, result) if c["name"] not in result.gone]
        if not missing:
            break
    result.failed = {c["name"]: result.failed.get(c["name"], "it was started and ended again") for c in missing if not c.get("looping")}
    for name, reason in result.failed.items():
        if "already exists" in reason:  # docs/facts.md
            result.failed[name] = f"{reason}; to remove that task, systemctl restart containerd, then docker start {name}"
    result.started = [name for name in dict.fromkeys(result.started) if name not in result.failed]
    return result


def _list_missing(engine: Engine, containers: list[dict[str, Any]], result: RestartResult) -> list[dict[str, Any]]:
    """Return the containers that exist and do not run; add those that no longer exist to `result.gone`."""
    states = {c["Id"]: c.get("State") for c in engine.get("/containers/json", all="1")}
    missing = []
    for container in containers:
        state = states.get(container["id"])
        if container["id"] not in states:
            if container["name"] not in result.gone:
                result.gone.append(container["name"])
        elif state not in ("running", "paused") and not (container.get("looping") and state == "restarting"):
            missing.append(container)
    return missing
