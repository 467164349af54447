# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers the containers that a run stops and has to start again, so that the run after an interruption starts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..engine_config.engine_restart import EngineSnapshot
from ..host import state
from ..host.root import Host
from .names import SUBJECT


def save_stopped(host: Host, known: dict[str, Any], before: EngineSnapshot) -> None:
    """Save the running containers before they are stopped. known: the remembered state of the rootless engine."""
    if before.running:
        known["stopped"] = before.containers
        state.save(host, SUBJECT, known)


def merge_stopped(known: Mapping[str, Any], before: EngineSnapshot) -> EngineSnapshot:
    """Return the engine before this run, with the containers that an interrupted run stopped."""
    earlier = known.get("stopped")
    if earlier is None:
        return before
    others = [container for container in before.containers if container["id"] not in {c["id"] for c in earlier}]
    return replace(before, running=True, containers=[*earlier, *others])


def list_stopped(known: Mapping[str, Any]) -> list[str]:
    """Return the names of the containers that an interrupted run stopped."""
    return [container["name"] for container in known.get("stopped") or ()]


def clear_stopped(host: Host, known: dict[str, Any]) -> None:
    """Remove the remembered containers once they run again."""
    if known.pop("stopped", None) is not None:
        state.save(host, SUBJECT, known)
