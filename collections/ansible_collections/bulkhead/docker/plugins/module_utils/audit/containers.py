# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects containers from the engine, the kernel and the journal, ended ones included, to attribute denials."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from ..engine.api import Engine, EngineError
from ..engine.cgroups import list_container_cgroups, list_processes
from ..engine.inspection import get_first_pid
from ..engine.instance import Instance
from ..engine.timestamps import parse_timestamp
from ..host.root import Host
from ..host.system import read_start_time
from .attribution import ContainerIndex, KnownContainer, merge_lifetimes
from .reading import Reading


def index_containers(host: Host, engine: Engine, instance: Instance, since: float, journal: Reading) -> tuple[ContainerIndex, str]:
    """Return the containers, and why the engine did not answer; empty if it did."""
    process = cache(partial(read_start_and_cgroup, host))
    try:
        existing = [_read_container(host, engine, listed) for listed in engine.get("/containers/json", all="true")]
        events = engine.get("/events", since=f"{since:.3f}", until=f"{time.time():.3f}") or []
        driver = engine.get("/info").get("CgroupDriver")
    except (EngineError, OSError, KeyError) as error:
        return ContainerIndex(merge_lifetimes(_list_unlisted(host, instance, set()), [], journal.scopes), None, process), str(error)
    events = [events] if isinstance(events, Mapping) else events
    found = merge_lifetimes([*existing, *_list_unlisted(host, instance, {c.id for c in existing})], events, journal.scopes)
    # The scopes of a rootless engine are in the user's own journal, which is not read, and the engine forgets removed containers.
    begins = journal.begins if driver == "systemd" and not instance.rootless else None
    return ContainerIndex(found, None if begins is None else max(begins, since), process), ""


def read_start_and_cgroup(host: Host, pid: int) -> tuple[float, str] | None:
    """Return the start time of a process, in seconds since the epoch, and its cgroup; None if it has ended."""
    try:
        began, text = read_start_time(host, pid), host.read(f"/proc/{pid}/cgroup")
    except OSError:
        return None
    return None if began is None or text is None else (began, text)


def _read_container(host: Host, engine: Engine, listed: Mapping[str, Any]) -> KnownContainer:
    """Return a container of the engine's list. If it vanishes meanwhile or cannot be inspected, only the list's entry is known of it.

    Raises EngineUnreachable.
    """
    try:
        return _describe_container(host, engine.get(f"/containers/{listed['Id']}/json"))
    except (EngineError, LookupError, TypeError, AttributeError, ValueError):
        name = next(iter(listed.get("Names") or ()), "").lstrip("/") or None
        runs: list[tuple[float | None, float | None]] = [(None, None)] if listed.get("State") == "running" else []
        return KnownContainer(listed["Id"], name, listed.get("Image"), None, runs)


def _describe_container(host: Host, inspect: Mapping[str, Any]) -> KnownContainer:
    state = inspect.get("State") or {}
    begin, end = parse_timestamp(state.get("StartedAt", "")), parse_timestamp(state.get("FinishedAt", ""))
    running = get_first_pid(inspect)
    profile = _read_profile(host, running) if running else (inspect.get("AppArmorProfile") or None)
    runs: list[tuple[float | None, float | None]] = [(begin, None if running else end)] if begin else []
    image = (inspect.get("Config") or {}).get("Image")
    return KnownContainer(inspect["Id"], inspect["Name"].lstrip("/"), image, profile, runs, None if running else end)


def _list_unlisted(host: Host, instance: Instance, known: set[str]) -> list[KnownContainer]:
    """Return containers that run in a cgroup of Docker and that the engine does not list."""
    groups = {identifier: cgroup for identifier, cgroup in list_container_cgroups(host, instance) if identifier not in known}
    pids = {identifier: next(iter(list_processes(host, cgroup)), 0) for identifier, cgroup in sorted(groups.items())}
    return [KnownContainer(identifier, profile=_read_profile(host, pid), runs=[(None, None)]) for identifier, pid in pids.items()]


def _read_profile(host: Host, pid: int) -> str | None:
    """Return the profile of a process from the kernel; the engine reports only the requested one."""
    try:
        return (host.read(f"/proc/{pid}/attr/current") or "").strip("\0\n").partition(" (")[0] or None
    except OSError:
        return None
