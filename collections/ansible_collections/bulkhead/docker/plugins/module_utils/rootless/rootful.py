# SPDX-License-Identifier: GPL-3.0-or-later
"""The rootful engine beside a rootless one: stopped and masked, and brought back as it was."""

from __future__ import annotations

from typing import Any

from ..engine import revive
from ..engine.api import Engine
from ..engine.instance import ROOTFUL
from ..engine.service import ServiceError, systemctl
from ..host import state
from ..host.root import Host
from ..layers.rootless.observe import SUBJECT, UNITS, look


def off(host: Host, known: dict[str, Any], stop_containers: bool, timeout: float) -> str:
    """Stop and mask it. With live-restore its containers would outlive it, so they are stopped by it first. Returns what was done, empty for nothing.

    known: what we remember, where its state goes. Raises ValueError where containers run that may not be stopped, and ServiceError.
    """
    there = [unit for unit in UNITS if any(host.path(f"{folder}/{unit}").exists() for folder in ROOTFUL.unit_dirs)]
    masked = [unit for unit in UNITS if look(host, f"/etc/systemd/system/{unit}").get("link") == "/dev/null"]
    active = [unit for unit in there if _word("is-active", unit) in ("active", "activating", "reloading")]
    if not active and set(there) <= set(masked):
        return ""
    if "docker.service" in active:
        engine = Engine(ROOTFUL.socket, timeout)
        running = revive.look(engine).containers
        if running and not stop_containers:
            names = ", ".join(c["name"] for c in running)
            raise ValueError(f"containers run in the rootful engine: {names}; stop them first, or write stop_containers: true")
        revive.stop(engine, running)
    known.setdefault("rootful", {"enabled": [u for u in there if _word("is-enabled", u) == "enabled"], "active": active, "masked": masked})
    state.save(host, SUBJECT, known)
    systemctl("disable", "--now", *there, timeout=timeout)
    systemctl("mask", *there, timeout=timeout)
    return "rootful engine stopped and masked"


def back(known: dict[str, Any], timeout: float) -> str:
    """Enabled and started is what was. Returns what was done, empty where we had not touched it. Raises ServiceError."""
    before = known.pop("rootful", None)
    if not before:
        return ""
    systemctl("unmask", *(unit for unit in UNITS if unit not in before.get("masked", [])), timeout=timeout)
    if before.get("enabled"):
        systemctl("enable", *before["enabled"], timeout=timeout)
    if before.get("active"):
        systemctl("start", *before["active"], timeout=timeout)
    return "rootful engine back"


def _word(verb: str, unit: str) -> str:
    """What `systemctl is-active` and `is-enabled` say; their exit status says no more."""
    try:
        return systemctl(verb, unit).strip()
    except ServiceError as error:
        return str(error).rpartition(": ")[2].strip()
