# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine, the kernel and the journal know of containers, those that are gone included, for the question whose denial it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from ..engine.api import Engine, EngineError
from ..engine.cgroups import list_container_cgroups
from ..engine.containers import get_first_pid
from ..engine.instance import Instance
from ..engine.timestamps import parse_timestamp
from ..host.root import Host
from ..host.system import read_start_time
from .attribution import Known, Owners, lifetimes
from .reading import Reading

def owners(host: Host, engine: Engine, instance: Instance, since: float, journal: Reading) -> tuple[Owners, str]:
    """And why the engine could not be asked; empty when it could."""
    look = cache(partial(process, host))
    try:
        existing = [_known(host, engine.get(f"/containers/{c['Id']}/json")) for c in engine.get("/containers/json", all="true")]
        events = engine.get("/events", since=f"{since:.3f}", until=f"{time.time():.3f}") or []
        driver = engine.get("/info").get("CgroupDriver")
    except (EngineError, OSError, KeyError) as error:
        return Owners(lifetimes(_running(host, instance, set()), [], journal.scopes), None, look), str(error)
    events = [events] if isinstance(events, Mapping) else events
    found = lifetimes([*existing, *_running(host, instance, {c.id for c in existing})], events, journal.scopes)
    # A user's manager logs to the user's own journal, and the engine forgets: then nobody can say who else ran.
    known = journal.begins if driver == "systemd" and not instance.rootless else None
    return Owners(found, None if known is None else max(known, since), look), ""


def process(host: Host, pid: int) -> tuple[float, str] | None:
    """When a process began, in seconds since the epoch, and its cgroup; None for one that is gone."""
    try:
        began, text = read_start_time(host, pid), host.read(f"/proc/{pid}/cgroup")
    except OSError:
        return None
    return None if began is None or text is None else (began, text)


def _known(host: Host, inspect: Mapping[str, Any]) -> Known:
    state = inspect.get("State") or {}
    begin, end = parse_timestamp(state.get("StartedAt", "")), parse_timestamp(state.get("FinishedAt", ""))
    running = get_first_pid(inspect)
    profile = _label(host, running) if running else (inspect.get("AppArmorProfile") or None)
    runs: list[tuple[float | None, float | None]] = [(begin, None if running else end)] if begin else []
    image = (inspect.get("Config") or {}).get("Image")
    return Known(inspect["Id"], inspect["Name"].lstrip("/"), image, profile, runs, None if running else end)


def _running(host: Host, instance: Instance, known: set[str]) -> list[Known]:
    """What runs in a control group of Docker's and is not the engine's (any more)."""
    identifiers = {identifier for identifier, _cgroup in list_container_cgroups(host, instance)} - known
    return [Known(identifier, runs=[(None, None)]) for identifier in sorted(identifiers)]


def _label(host: Host, pid: int) -> str | None:
    """The kernel's word on the profile; the engine only knows what it asked for."""
    try:
        return (host.read(f"/proc/{pid}/attr/current") or "").strip("\0\n").partition(" (")[0] or None
    except OSError:
        return None
