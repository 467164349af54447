# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine after a change: does it answer, and does what ran before run again?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..engine.api import Engine, EngineError, EngineUnreachable

_PROBE_LABEL = "io.bulkhead.probe"
# Seconds: how long a container that is to be waited for without end (a StopTimeout below 0) is, and what the engine gets beside a StopTimeout.
_FOREVER, _MARGIN = 3600, 30


@dataclass
class EngineSnapshot:
    """The engine before the change. `containers`: id and name of each that ran, in the order in which they were created; `looping` for one
    that kept ending and being restarted, which no change has to bring to run."""

    running: bool = False
    live_restore: bool = False
    swarm: bool = False
    root: str = ""
    containers: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class RestartResult:
    """What came back. `started`: names that we had to start; `gone`: removed with their stop (`--rm`); `failed`: name → reason."""

    started: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def take_snapshot(engine: Engine) -> EngineSnapshot:
    """The engine as it is; not running when it does not answer."""
    try:
        info = engine.get("/info")
        listed = engine.get("/containers/json")
    except (EngineError, EngineUnreachable):
        return EngineSnapshot()
    containers = [
        {"id": c["Id"], "name": (c.get("Names") or [c["Id"][:12]])[0].lstrip("/"), **({"looping": True} if _loops(engine, c) else {})}
        for c in sorted(listed, key=lambda c: c.get("Created", 0))
        if _PROBE_LABEL not in (c.get("Labels") or {})
    ]
    swarm = (info.get("Swarm") or {}).get("LocalNodeState") not in (None, "", "inactive")
    return EngineSnapshot(True, bool(info.get("LiveRestoreEnabled")), swarm, info.get("DockerRootDir", ""), containers)


def _loops(engine: Engine, listed: dict[str, Any]) -> bool:
    """Whether a container is being restarted by its policy, or has been seconds ago; the engine says `Up 3 seconds` of what it started just now."""
    if listed.get("State") == "restarting":
        return True
    if "second" not in listed.get("Status", ""):
        return False
    try:
        return bool(engine.get(f"/containers/{listed['Id']}/json").get("RestartCount"))
    except (EngineError, EngineUnreachable):
        return False


def wait_for_engine(engine: Engine, timeout: float) -> bool:
    """Whether `/_ping` and `/info` answer within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        if engine.ping():
            try:
                engine.get("/info")
                return True
            except (EngineError, EngineUnreachable):
                pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.25)


def wait_for_live_restore(engine: Engine, timeout: float) -> bool:
    """Whether the running engine has taken over `live-restore: true` within `timeout` seconds."""
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
    """Whether the engine says within `timeout` seconds that it took over its configuration since `moment` (seconds since the epoch).

    Its event says so (daemon/reload.go), also where its log level hides the line. It sends none when it does not take it over:
    `failed` is then asked, less often because it is dear, whether there is anything left to wait for.
    """
    deadline = time.monotonic() + timeout
    ask = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            window = {"since": f"{moment:.3f}", "until": f"{time.time():.3f}"}
            if engine.get("/events", **window, filters={"type": ["daemon"], "event": ["reload"]}):
                return True
        except (EngineError, EngineUnreachable):
            pass
        if time.monotonic() > ask:
            if failed():
                return False
            ask = time.monotonic() + 3
        time.sleep(0.2)
    return False


def stop_containers(engine: Engine, containers: list[dict[str, Any]]) -> None:
    """Stop containers, each with its own patience, the youngest first. Raises EngineError, EngineUnreachable."""
    for container in reversed(containers):
        try:
            own = (engine.get(f"/containers/{container['id']}/json").get("Config") or {}).get("StopTimeout")
            patience = _FOREVER if own is not None and own < 0 else (own or 0) + _MARGIN
            engine.post(f"/containers/{container['id']}/stop", patience=max(engine.timeout, patience))
        except EngineError as error:
            if error.status != 404:  # --rm: it stopped and is gone
                raise


def list_ended_after(engine: Engine, containers: list[dict[str, Any]], moment: float) -> list[dict[str, Any]]:
    """Those of `containers` that do not run and ended later than `moment` (seconds since the epoch); none when the engine does not answer."""
    found = []
    try:
        for container in _missing(engine, containers, RestartResult()):
            ended = engine.get(f"/containers/{container['id']}/json")["State"]["FinishedAt"]  # RFC 3339; the year 1 for never
            if datetime.fromisoformat(ended).timestamp() > moment:
                found.append(container)
    except (EngineError, EngineUnreachable):
        return []
    return found


def restart_containers(engine: Engine, containers: list[dict[str, Any]], timeout: float, outlive: bool = False) -> RestartResult:
    """Start those of `containers` that do not run. A restart policy of theirs gets a moment to do it first.

    outlive: they outlived the engine's restart (live-restore), so one that has ended well meanwhile has done its work, and is not started again.
    Twice over, because one may share the namespaces of another that comes later.
    """
    result = RestartResult()
    if outlive:
        done = {c["Id"] for c in engine.get("/containers/json", all="1") if c.get("Status", "").startswith("Exited (0)")}
        containers = [container for container in containers if container["id"] not in done]
    missing = _missing(engine, containers, result)
    moment = time.monotonic() + min(2.0, timeout)
    while missing and time.monotonic() < moment:
        time.sleep(0.25)
        missing = _missing(engine, containers, result)
    for _attempt in range(2):
        result.failed = {}
        for container in missing:
            try:
                engine.post(f"/containers/{container['id']}/start")
                result.started.append(container["name"])
            except EngineError as error:
                result.failed[container["name"]] = error.message
        missing = [c for c in _missing(engine, containers, result) if c["name"] not in result.gone]
        if not missing:
            break
    result.failed = {c["name"]: result.failed.get(c["name"], "it was started and ended again") for c in missing if not c.get("looping")}
    result.started = [name for name in dict.fromkeys(result.started) if name not in result.failed]
    return result


def _missing(engine: Engine, containers: list[dict[str, Any]], result: RestartResult) -> list[dict[str, Any]]:
    everything = {c["Id"]: c.get("State") for c in engine.get("/containers/json", all="1")}
    missing = []
    for container in containers:
        if container["id"] not in everything:
            if container["name"] not in result.gone:
                result.gone.append(container["name"])
        elif everything[container["id"]] not in ("running", "paused") and not (
            container.get("looping") and everything[container["id"]] == "restarting"
        ):
            missing.append(container)
    return missing
