# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds containers that run and that their engine does not know."""

from __future__ import annotations

from typing import Any

from ..host.process_status import read_id_map
from ..host.root import Host
from .api import Engine, EngineError
from .cgroups import list_container_cgroups, list_processes
from .instance import ROOTFUL, Instance


def find_orphans(host: Host, engine: Engine | None, known: set[str], instance: Instance = ROOTFUL) -> list[dict[str, Any]]:
    """Return ID, cgroup, pids and uid_map of each container that runs and that the engine does not know.

    known: full IDs that the engine lists. The engine (None: it is stopped) is asked about every other one, which may have started since.
    live-restore leaves orphans running when the data root changes. Raises EngineUnreachable.
    """
    found = []
    for identifier, path in list_container_cgroups(host, instance):
        if identifier in known or not list_processes(host, path) or _is_known(engine, identifier):
            continue
        pids = list_processes(host, path)
        if pids:  # otherwise it has ended meanwhile
            found.append({"id": identifier, "cgroup": path, "pids": pids, "uid_map": _read_uid_map(host, pids[0])})
    return found


def _is_known(engine: Engine | None, identifier: str) -> bool:
    if engine is None:
        return False
    try:
        engine.get(f"/containers/{identifier}/json")
    except EngineError as error:
        return error.status != 404
    return True


def _read_uid_map(host: Host, pid: int) -> list[list[int]]:
    try:
        return read_id_map(host, pid)
    except (OSError, ValueError):  # it has ended
        return []
