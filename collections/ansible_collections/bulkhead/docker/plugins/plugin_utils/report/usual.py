# SPDX-License-Identifier: GPL-3.0-or-later
"""Separates new denials of an image group from usual ones, by the sightings in the earlier reports of the same host. Pure.

Programs are denied things every day. What a group was denied in its first days is usual. Later, a denial is new when a report has it for the first time,
and for the same number of days after that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

DAY = 86400.0
DEFAULT_DAYS = 7
# A container that varies names must not fill the report: beyond this number, those that were not seen for the longest time are left out.
MAX_DENIALS = 2000
# Sources that see more than the logs do. Groups of such a source are learned from its installation on.
_SOURCES = ("recorder", "counters")
_COUNTED_SINCE = re.compile(r" \(counted since [^)]*\)|, counted since [^)]*")
_VARYING = re.compile(r"\b[0-9a-f]{12,}\b|\d+")


@dataclass
class Sightings:
    """What the reports of a host had so far.

    services: image group -> time of the first sighting. denials: image group -> key -> times of the first and the last sighting. A group is `SOURCE: IMAGE`.
    """

    services: dict[str, float] = field(default_factory=dict)
    denials: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_sightings(report: object) -> Sightings:
    """Return the sightings in `denials-HOST.json`, as read from JSON. What is not a sighting is left out."""
    seen = report.get("sightings") if isinstance(report, Mapping) else None
    services, denials = (seen.get("services"), seen.get("denials")) if isinstance(seen, Mapping) else (None, None)
    found = Sightings()
    for group, time in services.items() if isinstance(services, Mapping) else ():
        if _is_time(time):
            found.services[group] = float(time)
    for group, entries in denials.items() if isinstance(denials, Mapping) else ():
        for key, times in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(times, list) and len(times) == 2 and all(map(_is_time, times)):
                found.denials.setdefault(group, {})[key] = [float(time) for time in times]
    return found


def mark_new(
    entries: Iterable[Mapping[str, Any]],
    seen: Sightings,
    now: float,
    days: float,
    running: Iterable[Mapping[str, Any]] = (),
    sources: Iterable[str] = (),
) -> tuple[list[dict[str, Any]], Sightings]:
    """Return the entries with `new`, and the sightings with those of this report.

    now: time of the report, in seconds since the epoch. days: how long a group is learned, and how long a denial is new. running: containers of the
    host's verification; they show since when a group exists that was denied nothing. sources: of the report.
    """
    services = dict(seen.services)
    denials = {group: {key: list(times) for key, times in known.items()} for group, known in seen.denials.items()}
    present = ["logs", *(source for source in _SOURCES if source in sources)]
    for container in running:
        for source in present:
            services.setdefault(f"{source}: {_name_image(container)}", now)
    marked = []
    for entry in entries:
        source = entry["by"] if entry["by"] in _SOURCES else "logs"
        group, key = f"{source}: {name_image_group(entry)}", build_key(entry)
        learned = services.setdefault(group, now) + days * DAY
        times = denials.setdefault(group, {}).setdefault(key, [now, now])
        times[1] = now
        marked.append({**entry, "new": times[0] > learned and now - times[0] < days * DAY})
    return marked, Sightings(services, _limit(denials))


def name_image_group(entry: Mapping[str, Any]) -> str:
    """Return the image group of a denial: its container's image without tag and digest, so that replicas and new versions are one. Else the scope."""
    return _name_image(entry["container"] or {}) if entry["scope"] == "container" else str(entry["scope"])


def build_key(entry: Mapping[str, Any]) -> str:
    """Return what makes two denials of a group the same: layer, operation and object. Numbers and long IDs do not count, except in addresses."""
    detail = _COUNTED_SINCE.sub("", entry["detail"])
    detail = detail.partition(" (from ")[0] if entry["layer"] == "egress" else _VARYING.sub("N", detail)
    return f"{entry['layer']} {entry['operation']} {detail}".strip()


def _name_image(container: Mapping[str, Any]) -> str:
    image = str(container.get("image") or "").partition("@")[0]
    if not image or image.startswith("sha256:"):
        return f"container {container.get('name') or container.get('id') or 'unknown'}"
    folder, slash, last = image.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _limit(denials: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    """Return the denials that were seen last, at most `MAX_DENIALS`."""
    every = sorted(((times, group, key) for group, known in denials.items() for key, times in known.items()), key=lambda each: -each[0][1])
    found: dict[str, dict[str, list[float]]] = {}
    for times, group, key in every[:MAX_DENIALS]:
        found.setdefault(group, {})[key] = times
    return found


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
