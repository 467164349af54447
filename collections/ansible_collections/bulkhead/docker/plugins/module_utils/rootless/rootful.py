# SPDX-License-Identifier: GPL-3.0-or-later
"""The rootful engine beside a rootless one: stopped and masked, and brought back as it was."""

from __future__ import annotations

from typing import Any

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.instance import ROOTFUL
from ..engine.service import ServiceError, systemctl
from ..engine_config import engine_restart
from ..host import state
from ..host.root import Host
from .names import ROOTFUL_UNITS, SUBJECT, read_file_state


def off(host: Host, known: dict[str, Any], stop_containers: bool, timeout: float) -> str:
    """Stop and mask it. With live-restore its containers would outlive it, so they are stopped by it first. Returns what was done, empty for nothing.

    known: what we remember, where its state goes. Raises ValueError where containers run that may not be stopped, and ServiceError.
    """
    there = [unit for unit in ROOTFUL_UNITS if any(host.path(f"{folder}/{unit}").exists() for folder in ROOTFUL.unit_dirs)]
    masked = [unit for unit in ROOTFUL_UNITS if read_file_state(host, f"/etc/systemd/system/{unit}").get("link") == "/dev/null"]
    active = [unit for unit in there if _word("is-active", unit) in ("active", "activating", "reloading")]
    if not active and set(there) <= set(masked):
        return ""
    engine, running = Engine(ROOTFUL.socket, timeout), []
    if "docker.service" in active:
        before = engine_restart.look(engine)
        if not before.running:
            raise ValueError(
                f"docker.service is active, but no engine answers on {ROOTFUL.socket}, and what runs in it is not known; mend it, or stop it"
                " and its containers, first"
            )
        running = before.containers
        if running and not stop_containers:
            names = ", ".join(c["name"] for c in running)
            raise ValueError(f"containers run in the rootful engine: {names}; stop them first, or write stop_containers: true")
    memory = known.setdefault(
        "rootful", {"enabled": [u for u in there if _word("is-enabled", u) == "enabled"], "active": active, "masked": masked}
    )
    # On disk before any is stopped; a run that died has stopped some of them already.
    earlier = memory.get("containers", []) if memory.get("stopping") else []
    memory["containers"] = [*earlier, *(c for c in running if c["id"] not in {e["id"] for e in earlier})]
    memory["stopping"] = True
    state.save(host, SUBJECT, known)
    engine_restart.stop(engine, running)
    systemctl("disable", "--now", *there, timeout=timeout)
    systemctl("mask", *there, timeout=timeout)
    del memory["stopping"]
    state.save(host, SUBJECT, known)
    return "rootful engine stopped and masked"


def back(known: dict[str, Any], timeout: float, warnings: list[str]) -> str:
    """Enabled and started is what was, the containers that ran included. Returns what was done, empty where we had not touched it.

    warnings: where it goes what does not run again. Raises ServiceError.
    """
    before = known.pop("rootful", None)
    if not before:
        return ""
    systemctl("unmask", *(unit for unit in ROOTFUL_UNITS if unit not in before.get("masked", [])), timeout=timeout)
    if before.get("enabled"):
        systemctl("enable", *before["enabled"], timeout=timeout)
    if before.get("active"):
        systemctl("start", *before["active"], timeout=timeout)
    if "docker.service" in before.get("active", []) and before.get("containers"):
        warnings += _bring_back(before["containers"], timeout)
    return "rootful engine back"


def _bring_back(containers: list[dict[str, Any]], timeout: float) -> list[str]:
    """They were stopped through the API, which the engine takes for a wish: no restart policy starts them again (`unless-stopped`)."""
    engine = Engine(ROOTFUL.socket, timeout)
    names = ", ".join(container["name"] for container in containers)
    if not engine_restart.wait_until_it_answers(engine, timeout):
        return [
            f"the rootful engine does not answer on {ROOTFUL.socket}; these containers ran in it, and are to be started by hand: {names}"
        ]
    try:
        back = engine_restart.bring_back(engine, containers, timeout)
    except (EngineError, EngineUnreachable) as error:
        return [f"containers of the rootful engine could not be started again ({error}); start those by hand that do not run: {names}"]
    return [f"container {name} of the rootful engine ran before, and does not start again: {why}" for name, why in back.failed.items()]


def _word(verb: str, unit: str) -> str:
    """What `systemctl is-active` and `is-enabled` say; their exit status says no more."""
    try:
        return systemctl(verb, unit).strip()
    except ServiceError as error:
        return str(error).rpartition(": ")[2].strip()
