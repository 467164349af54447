# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and writes recordings/SERVICE.yml. Pure: texts and paths for messages, no files.

What the service does comes first, and changes only when it does something new. What each recorder counted comes last, and changes with every collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from ..suggestion import suggest
from .model import FORMAT, RecorderEntry, Recording, RecordingError
from .rendering import render_recording
from .schema import read_top
from .services import LONGEST, make_slug
from .sightings import SeenAccess, SeenCall, SeenDeniedCall, Sighting, sort_accesses
from .yaml_nodes import Mistakes, Place, list_pairs, read_root

_SHOWN = 10


def write_recording(recording: Recording) -> str:
    """Return the content of recordings/SERVICE.yml, the same for equal recordings."""
    return render_recording(recording)


def read_recording(text: str, path: str) -> Recording:
    """Return the recording of a file. path: for messages, and its name must be that of the service. Raises RecordingError, one line per mistake."""
    mistakes = Mistakes(path)
    root = read_root(text, mistakes)
    content = _read_content(Place(root, ""), mistakes, path) if root is not None else {}
    if mistakes.messages:
        more = len(mistakes.messages) - _SHOWN
        raise RecordingError("\n".join([*mistakes.messages[:_SHOWN], *([f"{path}: {more} more mistakes"] if more > 0 else [])]))
    return _build(content)


def _read_content(root: Place, mistakes: Mistakes, path: str) -> dict[str, Any]:
    """Return the values of a file. A file of another format is read no further."""
    top = dict(list_pairs(root))
    number = top.get("format")
    if number is not None and number.node.value != str(FORMAT):
        mistakes.add(
            number, f"{number.shown} is not a format that this release reads; write {FORMAT}, or use the release that wrote the file"
        )
        return {}
    content: dict[str, Any] = read_top(root, mistakes)
    if not mistakes.messages:
        _check_service(top["service"], mistakes, path)
        _check_recorders(top["recorders"], content, mistakes)
        _check_unseen(top, content, mistakes)
    return content


def _check_service(place: Place, mistakes: Mistakes, path: str) -> None:
    service = str(place.node.value)
    name = PurePath(path).name.removesuffix(".yml")
    if make_slug(service) != service:
        mistakes.add(place, f"{service!r} is not the name of a service; write small letters, digits, '.', '_' and '-', at most {LONGEST}")
    elif name != service:
        mistakes.add(place, f"{service!r} is not the name of the file; write {name}, or rename the file to {service}.yml")


def _check_recorders(place: Place, content: Mapping[str, Any], mistakes: Mistakes) -> None:
    """Note what recorders mention that the first part of the file does not contain."""
    known = {part: set(content[part]) for part in ("calls", "denied_calls", "configurations")}
    known["access"] = {access.key for access in content["access"]}
    for unused, recorder in list_pairs(place):
        for part, value in list_pairs(recorder):
            names = list_pairs(value) if part in known else []
            if part == "running":
                part, names = "configurations", [(str(entry.value), Place(entry, value.path)) for entry in value.node.value]
            for name, entry in names:
                if name not in known[part]:
                    advice = suggest(name, known[part], "remove the line")
                    mistakes.add(entry, f"{name!r} is not in {part}; {advice}, or restore it in {part}")


def _check_unseen(top: Mapping[str, Place], content: Mapping[str, Any], mistakes: Mistakes) -> None:
    """Note what is repeated in the first part of the file, or that no recorder has seen."""
    seen = {
        part: {name for recorder in content["recorders"].values() for name in recorder[part]}
        for part in ("calls", "denied_calls", "access")
    }
    for part in ("calls", "denied_calls"):
        for name, entry in list_pairs(top[part]):
            if name not in seen[part]:
                mistakes.add(entry, f"{name!r} is not in recorders.*.{part}; remove the line, because a recording contains what was seen")
    found = set()
    for number, (node, access) in enumerate(zip(top["access"].node.value, content["access"], strict=True)):
        place = Place(node, f"access[{number}]")
        if access.key in found:
            mistakes.add(place, f"{access.key!r} is repeated; remove one of the entries")
        elif access.key not in seen["access"]:
            mistakes.add(
                place, f"{access.key!r} is not in recorders.*.access; remove the entry, because a recording contains what was seen"
            )
        found.add(access.key)


def _build(content: Mapping[str, Any]) -> Recording:
    recorders = content["recorders"]

    def gather(part: str, name: str) -> dict[str, Sighting]:
        return {key: recorders[key][part][name] for key in sorted(recorders) if name in recorders[key][part]}

    return Recording(
        content["service"],
        recorders={key: _build_recorder(key, recorders[key]) for key in sorted(recorders)},
        configurations=content["configurations"],
        calls={name: SeenCall(name=name, **values, seen=gather("calls", name)) for name, values in content["calls"].items()},
        denied_calls={
            name: SeenDeniedCall(name=name, **values, seen=gather("denied_calls", name)) for name, values in content["denied_calls"].items()
        },
        access=sort_accesses(_add_seen(access, gather("access", access.key)) for access in content["access"]),
        written=tuple(sorted(set(content["written"]))),
        peaks=content["peaks"],
    )


def _add_seen(access: SeenAccess, seen: Mapping[str, Sighting]) -> SeenAccess:
    return replace(access, seen=seen)


def _build_recorder(key: str, content: Mapping[str, Any]) -> RecorderEntry:
    host, unused, identifier = key.rpartition("/")
    values = {name: value for name, value in content.items() if name not in ("calls", "denied_calls", "access")}
    return RecorderEntry(host, identifier, **values)
