# SPDX-License-Identifier: GPL-3.0-or-later
"""Inspects running containers through their engine, one by one: one that cannot be inspected does not hide the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .api import Engine, EngineError, EngineUnreachable

# Seconds for one inspection, and for the next ones after one timed out: an engine can hang on a single container.
PATIENCE, IMPATIENCE = 20.0, 5.0


def get_first_pid(inspect: Mapping[str, Any]) -> int:
    """Return the PID of the container's first process; 0 when it does not run, or when a user's engine reports anything but a PID."""
    pid = (inspect.get("State") or {}).get("Pid")
    return pid if isinstance(pid, int) and not isinstance(pid, bool) and pid > 0 else 0


def inspect_container(engine: Engine, identifier: str, patience: float = PATIENCE) -> dict[str, Any] | None:
    """Return the inspection of a running container; None when it does not run. Raises EngineError, EngineUnreachable."""
    try:
        inspect: dict[str, Any] = engine.get_within(patience, f"/containers/{identifier}/json")
    except EngineError as error:
        if error.status == 404:
            return None
        raise
    return inspect if get_first_pid(inspect) else None


def inspect_containers(
    engine: Engine, listed: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[Mapping[str, Any], dict[str, Any] | None, str]]:
    """Yield each listed container, its inspection (None when it does not run), and why it could not be inspected (empty if it could)."""
    patience, silent = PATIENCE, ""
    for entry in listed:
        if silent:
            yield entry, None, silent
            continue
        try:
            yield entry, inspect_container(engine, entry["Id"], patience), ""
        except EngineError as error:
            yield entry, None, f"the engine answers with an error: {error.message}"
        except EngineUnreachable as error:
            patience = IMPATIENCE
            silent = "" if engine.is_up() else str(error)
            yield entry, None, str(error)


def get_listed_name(entry: Mapping[str, Any]) -> str:
    """Return the name of a container in `/containers/json`."""
    return str((entry.get("Names") or [entry["Id"][:12]])[0]).lstrip("/")


def list_tags(entry: Mapping[str, Any]) -> list[str]:
    """Return the tags of an image in `/images/json`."""
    return [tag for tag in entry.get("RepoTags") or () if tag != "<none>:<none>"]
