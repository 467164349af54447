# SPDX-License-Identifier: GPL-3.0-or-later
"""Which events of a service were recorded: starts, stops, health checks, commands by exec, restarts, days, containers and hosts. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .model import COUNTED, Recording
from .sightings import sum_per_host


@dataclass(frozen=True)
class Coverage:
    """What was recorded. instances: the least number of different containers. starts_seen: containers seen from their start. days: with a container."""

    instances: int
    hosts: tuple[str, ...]
    days: tuple[str, ...]
    starts: int
    stops: int
    restarts: int
    execs: int
    health_checks: int
    oom: int
    starts_seen: int


def measure_coverage(recording: Recording, images: Collection[str] | None = None) -> Coverage:
    """Return the coverage of a recording. images: digests; only containers of these count, and days and hosts of recorders that had one."""
    names = {name for name, configuration in recording.configurations.items() if images is None or configuration.image_id in images}
    recorders = [recorder for recorder in recording.recorders.values() if images is None or names & recorder.configurations.keys()]
    usages = [(recorder.key, usage) for recorder in recorders for name, usage in recorder.configurations.items() if name in names]
    instances: dict[str, int] = {}
    for key, usage in usages:
        instances[key] = instances.get(key, 0) + usage.instances
    known = {identifier for recorder in recorders for identifier in recorder.instances} if images is None else set()
    counts = {name: sum(getattr(usage, name) for unused, usage in usages) for name in (*COUNTED, "starts_seen")}
    return Coverage(
        instances=max(sum_per_host(instances), len(known)),
        hosts=tuple(sorted({recorder.host for recorder in recorders})),
        days=tuple(sorted({day for recorder in recorders for day in recorder.days})),
        **counts,
    )
