# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a recording as YAML: the same text for equal recordings, sorted, one line per thing that was seen. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import yaml

from .days import join_days
from .model import FORMAT, ContainerConfiguration, RecorderEntry, Recording
from .sightings import ACCESS_KEYS, SeenAccess, SeenItem, Sighting

_HEAD = """\
# What service {service} does: recorded by playbooks/record.yml, which adds to it with every collection.
# Read it before you commit it. It contains names of hosts, images, networks, files and folders.
# To forget something, remove its line here and in `recorders`. What happens again is recorded again.
"""
# Words that need no quotes in any place of a YAML text; the resolver tells whether one is read as something else than a text.
_PLAIN = re.compile(r"[A-Za-z0-9/_](?:[A-Za-z0-9_./+-]|:(?=[A-Za-z0-9_./+-]))*")
_PAIR = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
_RESOLVER = yaml.resolver.Resolver()
_EMPTY: tuple[Any, ...] = ({}, [], (), "", None, False, 0)


class _Day(str):
    """A day or a time, which is written without quotes."""

    __slots__ = ()


def render_recording(recording: Recording) -> str:
    """Return the content of recordings/SERVICE.yml."""
    lines = [
        _HEAD.format(service=recording.service) + f"format: {FORMAT}",
        f"service: {_quote(recording.service)}",
        *_render_map(
            "calls", {name: _inline({"abis": _days(c.abis), "arguments": _arguments(c.arguments)}) for name, c in recording.calls.items()}
        ),
        *_render_map(
            "denied_calls",
            {name: _inline({"abis": _days(c.abis), "errnos": _days(c.errnos)}) for name, c in recording.denied_calls.items()},
        ),
        *_render_list("access", [_render_access(access) for access in recording.access]),
        *_render_list("written", [_quote(path) for path in sorted(recording.written)]),
        *_render_map("peaks", {name: str(peak) for name, peak in recording.peaks.items()}),
        *_render_blocks("configurations", {name: _render_configuration(c) for name, c in recording.configurations.items()}),
        *_render_blocks("recorders", {key: _render_recorder(recorder, recording) for key, recorder in recording.recorders.items()}),
    ]
    return "\n".join(lines) + "\n"


def _render_access(access: SeenAccess) -> str:
    fields = {key: access.access.get(key) for key in ACCESS_KEYS}
    return _inline({**fields, "denied": access.denied, "first": _Day(access.first)})


def _render_configuration(configuration: ContainerConfiguration) -> list[str]:
    fields = asdict(configuration)
    mounts = [_inline(mount) for mount in fields.pop("mounts")]
    return [*(f"{key}: {_value(value)}" for key, value in fields.items()), *_render_list("mounts", mounts)]


def _render_recorder(recorder: RecorderEntry, recording: Recording) -> list[str]:
    environments = [
        _inline({"first": _Day(days.first), "last": _Day(days.last)}, asdict(environment))
        for environment, days in sorted(recorder.environments.items(), key=lambda item: (item[1].first, repr(item[0])))
    ]
    gaps = [
        _inline({**asdict(gap), "begin": _Day(gap.begin), "end": _Day(gap.end)}, {"lost": gap.lost} if gap.lost is not None else {})
        for gap in recorder.gaps
    ]
    usages = {
        name: _inline(
            {"first": _Day(usage.first), "last": _Day(usage.last)},
            {k: v for k, v in asdict(usage).items() if v and k not in ("first", "last")},
        )
        for name, usage in recorder.configurations.items()
    }
    return [
        f"since: {recorder.since}",
        f"at: {recorder.at}",
        *_render_list("environments", environments),
        *_render_map("sources", {name: _inline(asdict(source)) for name, source in recorder.sources.items()}),
        *_render_list("gaps", gaps),
        f"instances: {_value(sorted(recorder.instances))}",
        f"days: {_value([_Day(days) for days in join_days(recorder.days)])}",
        f"running: {_value(sorted(recorder.running))}",
        *_render_map("configurations", usages),
        *_render_sightings("calls", recording.calls, recorder.key),
        *_render_sightings("denied_calls", recording.denied_calls, recorder.key),
        *_render_sightings("access", {access.key: access for access in recording.access}, recorder.key),
    ]


def _render_sightings(name: str, seen: Mapping[str, SeenItem], recorder: str) -> Iterator[str]:
    found = {key: _render_sighting(entry.seen[recorder]) for key, entry in seen.items() if recorder in entry.seen}
    return _render_map(name, found, is_sorted=True)


def _render_sighting(sighting: Sighting) -> str:
    return _inline({"count": sighting.count, "instances": sighting.instances, "by": sighting.by, "last": _Day(sighting.last)})


def _render_map(name: str, entries: Mapping[str, str], is_sorted: bool = False) -> Iterator[str]:
    """Yield a mapping with one line per entry. is_sorted: whether its order is kept."""
    yield f"{name}:" if entries else f"{name}: {{}}"
    for key in entries if is_sorted else sorted(entries):
        yield f"  {_quote(key)}: {entries[key]}"


def _render_list(name: str, entries: Iterable[str]) -> Iterator[str]:
    entries = list(entries)
    yield f"{name}:" if entries else f"{name}: []"
    for entry in entries:
        yield f"  - {entry}"


def _render_blocks(name: str, blocks: Mapping[str, Iterable[str]]) -> Iterator[str]:
    yield f"{name}:" if blocks else f"{name}: {{}}"
    for key in sorted(blocks):
        yield f"  {_quote(key)}:"
        for line in blocks[key]:
            yield f"    {line}"


def _days(values: Mapping[Any, str]) -> dict[Any, _Day]:
    return {key: _Day(values[key]) for key in sorted(values)}


def _arguments(values: Mapping[int | None, str]) -> dict[Any, _Day]:
    known = {key: _Day(values[key]) for key in sorted(key for key in values if key is not None)}
    return {**known, **({"any": _Day(values[None])} if None in values else {})}


def _inline(fields: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> str:
    """Return a mapping on one line. Keys of `fields` that are not set are left out."""
    kept = {key: value for key, value in fields.items() if value not in _EMPTY} | dict(more or {})
    return _value(kept)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quote(key)}: {_value(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quote(value)


def _quote(value: Any) -> str:
    """Return a text, quoted if YAML would read it as something else; a number or a day as it is."""
    if not isinstance(value, str) or isinstance(value, _Day):
        return str(value)
    if _PLAIN.fullmatch(value) and _RESOLVER.resolve(yaml.ScalarNode, value, (True, False)) == "tag:yaml.org,2002:str":
        return value
    # Characters beyond 16 bits are two escapes in JSON, and one in YAML. Half of such a pair is neither.
    text = json.dumps(value.encode("utf-8", "replace").decode())
    return _PAIR.sub(_escape_pair, text)


def _escape_pair(found: re.Match[str]) -> str:
    return f"\\U{ord(json.loads(chr(34) + found[0] + chr(34))):08x}"
