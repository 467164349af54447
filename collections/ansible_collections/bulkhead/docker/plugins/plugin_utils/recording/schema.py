# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of recordings/SERVICE.yml: which keys it contains, and which values they take. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.recorder.store import GAP_KINDS
from ...module_utils.seccomp.syscalls_other import list_known_names
from ..suggestion import suggest
from .days import list_days
from .model import ACCESS_CLASSES, COUNTED, SOURCES, ContainerConfiguration, ContainerMount, Days, Environment, Gap, Source, Usage
from .sightings import ACCESS_KEYS, MACHINES, SeenAccess, Sighting
from .yaml_nodes import (
    Mistakes,
    Place,
    Reader,
    is_day,
    list_pairs,
    read_any_text,
    read_boolean,
    read_choice,
    read_day,
    read_fields,
    read_list,
    read_map,
    read_number,
    read_pattern,
    read_positive,
    read_text,
    read_time,
)

_CALLS = frozenset(list_known_names())
# Longer ranges of days are mistakes.
_MOST_DAYS = 3660


def _build(reader: Reader, build: Any) -> Reader:
    """Return a reader that builds a value from the fields of a mapping. After a mistake in them it returns None, and the file is not used."""

    def read(place: Place, mistakes: Mistakes) -> Any:
        before = len(mistakes.messages)
        fields = reader(place, mistakes)
        if fields.get("first", "") > fields.get("last", "9"):
            mistakes.add(place, f"first {fields['first']} is after last {fields['last']}; exchange the days")
        return build(fields) if len(mistakes.messages) == before else None

    return read


def _build_configuration(fields: Mapping[str, Any]) -> ContainerConfiguration:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return ContainerConfiguration(**values)


def _read_call_name(place: Place, mistakes: Mistakes) -> str:
    name = str(place.node.value)
    if name not in _CALLS and not name.isdecimal():
        mistakes.add(place, f"{name!r} is not a system call; {suggest(name, _CALLS, 'remove the line')}")
    return name


def _read_argument(place: Place, mistakes: Mistakes) -> int | None:
    return None if place.node.value == "any" else read_number(place, mistakes)


def _read_days(place: Place, mistakes: Mistakes) -> list[str]:
    """Return the days of a text such as `2026-11-20 to 2026-11-28`."""
    first, unused, last = str(place.node.value).partition(" to ")
    last = last or first
    if is_day(first) and is_day(last) and first <= last and len(days := list_days(first, last)) <= _MOST_DAYS:
        return days
    mistakes.add(place, f"{place.shown} is not a day or a range of days; write it as 2026-11-20 to 2026-11-28")
    return []


def _read_access(place: Place, mistakes: Mistakes) -> SeenAccess | None:
    """Return an access without who saw it."""
    before = len(mistakes.messages)
    fields: dict[str, Any] = _ACCESS(place, mistakes)
    if fields.get("class") == "file":
        for name, value in list_pairs(place):
            if name == "mask":
                _read_mask(value, mistakes)
        for name in ("path", "mask"):
            if name not in fields:
                mistakes.add(place, f"the key {name} is missing; add it, or remove the entry")
    if len(mistakes.messages) > before:
        return None
    access = {name: fields[name] for name in ACCESS_KEYS if fields.get(name)}
    return SeenAccess(access=access, denied=fields.get("denied", False), first=fields["first"], seen={})


_read_mask = read_pattern("[klmrwx]+", "a mask of a file", "letters of r, w, m, k, l and x")
_read_recorder_key = read_pattern(r".+/[0-9a-f]{8}", "a recorder", "HOST/ID, such as web1/3f2a9c01")
_read_id = read_pattern("[0-9a-f]{12}", "the short ID of a container", "its first 12 digits")
_read_configuration_name = read_pattern("[0-9a-f]{8}", "the name of a configuration", "its 8 digits")
_read_abi = read_choice(tuple(MACHINES), "an ABI")
_read_texts = read_list(read_any_text)
_ACCESS = read_fields(
    {"class": read_choice(ACCESS_CLASSES, "a class of accesses"), "first": read_day},
    {**{name: read_text for name in ACCESS_KEYS[1:] if name != "owner"}, "owner": read_boolean, "denied": read_boolean},
)
_SIGHTING = _build(
    read_fields({"count": read_positive, "instances": read_positive, "last": read_day}, {"by": _read_id}), lambda fields: Sighting(**fields)
)
_ABIS = read_map(_read_abi, read_day)
_CALL = read_fields({"abis": _ABIS}, {"arguments": read_map(_read_argument, read_day)})
_DENIED_CALL = read_fields({"abis": _ABIS, "errnos": read_map(read_positive, read_day)})
_USAGE = _build(
    read_fields({"first": read_day, "last": read_day, "instances": read_positive}, dict.fromkeys((*COUNTED, "starts_seen"), read_positive)),
    lambda fields: Usage(**fields),
)
_MOUNT = _build(
    read_fields({"destination": read_text, "type": read_text}, {"source": read_text, "read_only": read_boolean}),
    lambda fields: ContainerMount(**fields),
)
_CONFIGURATION = _build(
    read_fields(
        {
            "image": read_any_text,
            "image_id": read_text,
            **dict.fromkeys(("user", "seccomp", "apparmor", "userns"), read_any_text),
            **dict.fromkeys(("no_new_privileges", "read_only"), read_boolean),
            **dict.fromkeys(("capabilities", "networks", "ports"), _read_texts),
            "mounts": read_list(_MOUNT),
        }
    ),
    _build_configuration,
)
_ENVIRONMENT = _build(
    read_fields({**dict.fromkeys(Environment.__dataclass_fields__, read_any_text), "first": read_day, "last": read_day}),
    lambda fields: (
        Environment(**{name: fields[name] for name in Environment.__dataclass_fields__}),
        Days(fields["first"], fields["last"]),
    ),
)
_GAP = _build(
    read_fields(
        {"kind": read_choice(GAP_KINDS, "a kind of gap"), "source": read_choice((*SOURCES, "events"), "a source"), "text": read_text},
        {"begin": read_day, "end": read_day, "profile": read_text, "instance": _read_id, "lost": read_number},
    ),
    lambda fields: Gap(**fields),
)
_SOURCE = _build(
    read_fields({"status": read_choice(("recording", "unavailable", "off"), "a status")}, {"reason": read_text}),
    lambda fields: Source(**fields),
)
_RECORDER = _build(
    read_fields(
        {
            "since": read_time,
            "at": read_time,
            "environments": read_list(_ENVIRONMENT),
            "sources": read_map(read_choice(SOURCES, "a source"), _SOURCE),
            "gaps": read_list(_GAP),
            "instances": read_list(_read_id),
            "days": read_list(_read_days),
            "running": read_list(_read_configuration_name),
            "configurations": read_map(_read_configuration_name, _USAGE),
            "calls": read_map(_read_call_name, _SIGHTING),
            "denied_calls": read_map(_read_call_name, _SIGHTING),
            "access": read_map(read_any_text, _SIGHTING),
        }
    ),
    lambda fields: {
        **fields,
        "environments": dict(fields["environments"]),
        "gaps": tuple(fields["gaps"]),
        "days": frozenset(day for days in fields["days"] for day in days),
        "instances": frozenset(fields["instances"]),
        "running": frozenset(fields["running"]),
    },
)
read_top: Reader = read_fields(
    {
        "format": read_number,
        "service": read_text,
        "calls": read_map(_read_call_name, _CALL),
        "denied_calls": read_map(_read_call_name, _DENIED_CALL),
        "access": read_list(_read_access),
        "written": read_list(read_text),
        "peaks": read_fields({}, {"memory": read_positive, "pids": read_positive}),
        "configurations": read_map(_read_configuration_name, _CONFIGURATION),
        "recorders": read_map(_read_recorder_key, _RECORDER),
    }
)
