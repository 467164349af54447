# SPDX-License-Identifier: GPL-3.0-or-later
"""Stops and masks the rootful engine of a host with a rootless one, and restores it."""

from __future__ import annotations

from typing import Any

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.client import open_engine
from ..engine.instance import ROOTFUL
from ..engine.systemctl import ServiceError, systemctl
from ..engine_config import engine_restart
from ..host import state
from ..host.root import Host
from .names import ROOTFUL_UNITS, SUBJECT, read_file_state


def stop_rootful(host: Host, known: dict[str, Any], stop_containers: bool, timeout: float) -> str:
    """Stop and mask the rootful engine. Returns what was changed; empty for nothing.

    Its containers are stopped first, because with live-restore they would survive it. known: the remembered state, which gets the engine's.
    Raises ValueError where containers run that must not be stopped, and ServiceError.
    """
    units = [unit for unit in ROOTFUL_UNITS if any(host.path(f"{folder}/{unit}").exists() for folder in ROOTFUL.unit_dirs)]
    masked = [unit for unit in ROOTFUL_UNITS if read_file_state(host, f"/etc/systemd/system/{unit}").get("link") == "/dev/null"]
    active = [unit for unit in units if _ask_systemctl("is-active", unit) in ("active", "activating", "reloading")]
    if not active and set(units) <= set(masked):
        return ""
    engine, running = open_engine(host, ROOTFUL, timeout), []
    if "docker.service" in active:
        before = engine_restart.take_snapshot(host, engine)
        if not before.running:
            raise ValueError(
                f"docker.service is active, but no engine answers on {engine.socket}, and its containers are not known; repair it, or stop it"
                " and its containers, first"
            )
        running = before.containers
        if running and not stop_containers:
            names = ", ".join(c["name"] for c in running)
            raise ValueError(f"containers run in the rootful engine: {names}; stop them first, or set stop_containers: true")
    record = known.setdefault(
        "rootful", {"enabled": [u for u in units if _ask_systemctl("is-enabled", u) == "enabled"], "active": active, "masked": masked}
    )
    # Remembered before any is stopped; an interrupted run may have stopped some of them already.
    earlier = record.get("containers", []) if record.get("stopping") else []
    record["containers"] = [*earlier, *(c for c in running if c["id"] not in {e["id"] for e in earlier})]
    record |= {"stopping": True, "socket": engine.socket if "docker.service" in active else record.get("socket", ROOTFUL.socket)}
    state.save(host, SUBJECT, known)
    engine_restart.stop_containers(engine, running)
    systemctl("disable", "--now", *units, timeout=timeout)
    systemctl("mask", *units, timeout=timeout)
    del record["stopping"]
    state.save(host, SUBJECT, known)
    return "rootful engine stopped and masked"


def restore_rootful(known: dict[str, Any], timeout: float, warnings: list[str]) -> str:
    """Enable and start the rootful engine and its containers as they were. Returns what was changed; empty for nothing.

    warnings: gets one message per container that does not start again. Raises ServiceError.
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
        warnings += _start_containers(before["containers"], before.get("socket", ROOTFUL.socket), timeout)
    return "rootful engine restored"


def _start_containers(containers: list[dict[str, Any]], socket: str, timeout: float) -> list[str]:
    """Start the containers again. They were stopped through the API, so that the policy `unless-stopped` does not start them."""
    engine = Engine(socket, timeout)
    names = ", ".join(container["name"] for container in containers)
    if not engine_restart.wait_for_engine(engine, timeout):
        return [f"the rootful engine does not answer on {socket}; these containers ran in it, start them by hand: {names}"]
    try:
        result = engine_restart.restart_containers(engine, containers, timeout)
    except (EngineError, EngineUnreachable) as error:
        return [f"containers of the rootful engine could not be started again ({error}); start by hand those that do not run: {names}"]
    return [
        f"container {name} of the rootful engine ran before and does not start again: {reason}" for name, reason in result.failed.items()
    ]


def _ask_systemctl(verb: str, unit: str) -> str:
    """Return the output of `systemctl is-active` or `is-enabled`, whose exit status adds nothing."""
    try:
        return systemctl(verb, unit).strip()
    except ServiceError as error:
        return str(error).rpartition(": ")[2].strip()
