# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds what a host recorded to the recording of a service, and merges two recordings. Pure.

Every value is merged by an operation that does not depend on the order: the highest, the lowest, the union, or the newest collection of the same recorder.
So collecting twice changes nothing but newer counts, and two branches of a repository can be merged in either direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from .contribution import read_contribution
from .model import COUNTED, Days, RecorderEntry, Recording, RecordingError, Usage, limit_instances
from .sightings import SeenAccess, SeenCall, SeenDeniedCall, SeenItem, Sighting, sort_accesses

K = TypeVar("K")
V = TypeVar("V")


def merge(recording: Recording | None, service: str, host: str, recorded: Mapping[str, Any]) -> Recording:
    """Return a recording with what a host recorded of the service. recorded: what `record_containers` returns. Raises RecordingError."""
    return merge_recordings(recording or Recording(service), read_contribution(service, host, recorded))


def merge_recordings(one: Recording, other: Recording) -> Recording:
    """Return everything that two recordings of a service contain. Raises RecordingError if they are of different services."""
    if one.service != other.service:
        raise RecordingError(
            f"{one.service}: a recording of {other.service} cannot be merged with it; merge recordings of the same service only"
        )
    accesses = {access.key: access for access in one.access}
    merged = _join({access.key: access for access in other.access}, accesses, _merge_accesses)
    return Recording(
        one.service,
        recorders=_join(one.recorders, other.recorders, _merge_recorders),
        configurations=_join(one.configurations, other.configurations, lambda left, right: min(left, right, key=repr)),
        calls=_join(one.calls, other.calls, _merge_calls),
        denied_calls=_join(one.denied_calls, other.denied_calls, _merge_denied_calls),
        access=sort_accesses(merged.values()),
        written=tuple(sorted({*one.written, *other.written})),
        peaks=_join(one.peaks, other.peaks, max),
    )


def _join(one: Mapping[K, V], other: Mapping[K, V], merge_values: Callable[[V, V], V]) -> dict[K, V]:
    return {
        key: merge_values(one[key], other[key]) if key in one and key in other else one[key] if key in one else other[key]
        for key in sorted({*one, *other}, key=lambda key: (isinstance(key, str), str(key)))
    }


def _merge_sightings(one: SeenItem, other: SeenItem) -> dict[str, Sighting]:
    return _join(one.seen, other.seen, _merge_sighting)


def _merge_sighting(one: Sighting, other: Sighting) -> Sighting:
    """Return the newer state of a counter that only grows. Two different single containers are two."""
    instances, by = max(one.instances, other.instances), one.by
    if one.by != other.by:
        instances, by = max(instances, 2), ""
    return Sighting(max(one.count, other.count), instances, max(one.last, other.last), by)


def _merge_calls(one: SeenCall, other: SeenCall) -> SeenCall:
    return SeenCall(
        name=one.name,
        abis=_join(one.abis, other.abis, min),
        arguments=_join(one.arguments, other.arguments, min),
        seen=_merge_sightings(one, other),
    )


def _merge_denied_calls(one: SeenDeniedCall, other: SeenDeniedCall) -> SeenDeniedCall:
    return SeenDeniedCall(
        name=one.name, abis=_join(one.abis, other.abis, min), errnos=_join(one.errnos, other.errnos, min), seen=_merge_sightings(one, other)
    )


def _merge_accesses(one: SeenAccess, other: SeenAccess) -> SeenAccess:
    return replace(one, first=min(one.first, other.first), seen=_merge_sightings(one, other))


def _merge_recorders(one: RecorderEntry, other: RecorderEntry) -> RecorderEntry:
    newest = max(one, other, key=lambda recorder: (recorder.at, repr(recorder.sources), repr(recorder.gaps), sorted(recorder.running)))
    return RecorderEntry(
        one.host,
        one.id,
        since=min(one.since, other.since),
        at=newest.at,
        environments=_join(
            one.environments, other.environments, lambda left, right: Days(min(left.first, right.first), max(left.last, right.last))
        ),
        sources=newest.sources,
        gaps=newest.gaps,
        running=newest.running,
        instances=limit_instances(one.instances | other.instances),
        days=one.days | other.days,
        configurations=_join(one.configurations, other.configurations, _merge_usages),
    )


def _merge_usages(one: Usage, other: Usage) -> Usage:
    counts = {key: max(getattr(one, key), getattr(other, key)) for key in ("instances", "starts_seen", *COUNTED)}
    return Usage(first=min(one.first, other.first), last=max(one.last, other.last), **counts)
