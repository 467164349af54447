# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers that a run stops and has to start again: on disk before they are stopped, so that the next run knows of them when this one dies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..engine_config.engine_restart import Before
from ..host import state
from ..host.root import Host
from .names import SUBJECT


def remember(host: Host, known: dict[str, Any], before: Before) -> None:
    """known: what we remember of the rootless engine."""
    if before.running:
        known["stopped"] = before.containers
        state.save(host, SUBJECT, known)


def recall(known: Mapping[str, Any], before: Before) -> Before:
    """The engine before this run, with what a run that died had stopped."""
    earlier = known.get("stopped")
    if earlier is None:
        return before
    more = [container for container in before.containers if container["id"] not in {c["id"] for c in earlier}]
    return replace(before, running=True, containers=[*earlier, *more])


def left(known: Mapping[str, Any]) -> list[str]:
    """The names of what a run that died had stopped."""
    return [container["name"] for container in known.get("stopped") or ()]


def forget(host: Host, known: dict[str, Any]) -> None:
    """All runs again that can."""
    if known.pop("stopped", None) is not None:
        state.save(host, SUBJECT, known)
