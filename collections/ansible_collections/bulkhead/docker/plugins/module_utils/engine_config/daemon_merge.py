# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges the managed keys into daemon.json: sets the desired ones, removes the others, and remembers the values before. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import keys
from .daemon_json import Document, Member


@dataclass(frozen=True)
class Merge:
    """A change of daemon.json. before, after: its content.

    text: None when no file remains: none existed and none is needed, or Bulkhead created it and its last member is removed.
    record: pointer (`/icc`, `/log-opts/max-size`) → {"value": managed value}, and "before": the unmanaged value that it replaced, if any.
    notices: messages about unmanaged values that are replaced, restored or kept.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    text: str | None
    record: dict[str, dict[str, Any]]
    notices: list[str]

    @property
    def changed(self) -> list[str]:
        """The top-level keys that differ, sorted."""
        return keys.list_changed_keys(self.before, self.after)

    @property
    def needs_restart(self) -> bool:
        """Whether a changed key takes effect only with a restart of the engine."""
        return bool(keys.list_restart_keys(self.before, self.after))

    @property
    def switches_root(self) -> bool:
        """Whether a changed key gives the engine another data root."""
        return not keys.ROOT_KEYS.isdisjoint(self.changed)


def build_pointer(*path: str) -> str:
    """Return the pointer to a place in the file (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def parse_pointer(place: str) -> list[str]:
    """Return the parts of a pointer (`build_pointer`)."""
    return [part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:]]


def merge_keys(
    document: Document,
    desired: Mapping[str, Any],
    record: Mapping[str, Mapping[str, Any]],
    keep: frozenset[str] = frozenset(),
    created: bool = False,
    path: str = "/etc/docker/daemon.json",
) -> Merge:
    """Set the `desired` keys, and remove the managed keys (`record`) that are no longer desired.

    A desired object (`log-opts`) is merged member by member. A removed key gets its unmanaged value of before, if it had one. A key that
    was edited since is not removed, and a notice tells so.
    keep: top-level keys that stay unchanged in file and record. created: whether Bulkhead created the file, so that it is removed when empty.
    """
    before = document.content()
    after = json.loads(json.dumps(before))
    places = _list_places(desired, before, record)
    kept = {place: dict(entry) for place, entry in record.items() if parse_pointer(place)[0] in keep}
    managed = {place: entry for place, entry in record.items() if place not in kept}
    notices: list[str] = []

    for place, entry in managed.items():
        if place not in places and not _has_children(place, places):
            _remove_value(after, parse_pointer(place), entry, path, notices)
    remembered = dict(kept)
    for place, value in places.items():
        if parse_pointer(place)[0] in keep:
            continue
        remembered[place] = _set_value(after, parse_pointer(place), value, managed.get(place), path, notices)

    if _is_same_json(before, after):
        return Merge(before, after, document.source, remembered, notices)
    for key in [key for key in before if key not in after]:
        remove_member(document, key)
    for key, value in after.items():
        set_member(document, key, value)
    return Merge(before, after, None if created and not after else document.text(), remembered, notices)


def _list_places(desired: Mapping[str, Any], current: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return pointer → desired value: one per member of an object, unless the key has or had a value that is not an object."""
    places: dict[str, Any] = {}
    for key, value in desired.items():
        if isinstance(value, dict) and value and isinstance(current.get(key, {}), dict) and build_pointer(key) not in record:
            places.update({build_pointer(key, name): member for name, member in value.items()})
        else:
            places[build_pointer(key)] = value
    return places


def _has_children(place: str, places: Mapping[str, Any]) -> bool:
    return any(other.startswith(f"{place}/") for other in places)


def _set_value(
    content: dict[str, Any], where: list[str], value: Any, entry: Mapping[str, Any] | None, path: str, notices: list[str]
) -> dict[str, Any]:
    """Set one value and return its record, with the last unmanaged value in its place."""
    holder = content
    for part in where[:-1]:
        holder = holder.setdefault(part, {})
    name = where[-1]
    exists = name in holder
    before = holder.get(name)
    holder[name] = value
    if entry is not None and exists and _is_same_json(before, entry.get("value")):
        return {**entry, "value": value}
    if exists and not _is_same_json(before, value):
        notices.append(f"{path}: {_join(where)} changes from {json.dumps(before)} to {json.dumps(value)}; the old value is remembered")
    return {"value": value, "before": before} if exists else {"value": value}


def _remove_value(content: dict[str, Any], where: list[str], entry: Mapping[str, Any], path: str, notices: list[str]) -> None:
    """Remove one managed value or restore the one before it, unless it was edited since."""
    holder: Any = content
    for part in where[:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else None
    name = where[-1]
    if not isinstance(holder, dict) or name not in holder:
        return
    if not _is_same_json(holder[name], entry.get("value")):
        notices.append(
            f"{path}: {_join(where)} was set to {json.dumps(entry.get('value'))} and is {json.dumps(holder[name])} now: it was changed by others,"
            " so it stays"
        )
        return
    if "before" in entry:
        if not _is_same_json(holder[name], entry["before"]):
            notices.append(f"{path}: {_join(where)} is restored to {json.dumps(entry['before'])}, its value before")
        holder[name] = entry["before"]
        return
    del holder[name]
    if not holder and len(where) == 2:
        del content[where[0]]


def _join(where: list[str]) -> str:
    return where[0] if len(where) == 1 else f"{where[0]}.{where[1]}"


def set_member(document: Document, key: str, value: Any) -> None:
    """Set one member, in its present place or at the end."""
    for member in document.members:
        if member.key == key:
            if not _is_same_json(member.value, value):
                member.value, member.raw = value, _render_value(value, member.lead)
            return
    lead = _choose_lead(document)
    last = document.members[-1] if document.members else None
    tail = "\n" if last is None else last.tail
    if last is not None:
        last.tail = ""
    document.members.append(Member(key, value, lead, f"{json.dumps(key, ensure_ascii=False)}: ", _render_value(value, lead), tail))


def remove_member(document: Document, key: str) -> None:
    """Remove one member, if it exists."""
    members = document.members
    for index, member in enumerate(members):
        if member.key == key:
            del members[index]
            if members and index == len(members):
                members[-1].tail = member.tail
            elif members and index == 0:
                members[0].lead = member.lead
            return


def _choose_lead(document: Document) -> str:
    """Return the white space before a new member: that of the last one, or one blank when all are on one line."""
    if not document.members:
        return "\n  "
    lead = document.members[-1].lead
    return lead if "\n" in lead else " "


def _render_value(value: Any, lead: str) -> str:
    if "\n" not in lead:
        return json.dumps(value, ensure_ascii=False)
    indent = lead.rsplit("\n", 1)[1]
    return json.dumps(value, indent=indent or "  ", ensure_ascii=False).replace("\n", f"\n{indent}")


def _is_same_json(first: Any, second: Any) -> bool:
    """Return whether two values are equal as JSON: unlike in Python, true is not 1."""
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def mask_passwords(text: str) -> str:
    """Return the text with the passwords in URLs (of proxies) masked."""
    return re.sub(r"(://[^/\s:@\"]+):[^/\s@\"]+@", r"\1:***@", text)
