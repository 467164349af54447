# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses daemon.json strictly, and changes managed members only: the text, order and white space of all others stay. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from . import keys

_BLANK = " \t\r\n"


class DaemonJsonError(ValueError):
    """The file is not valid. The message names file, line, column and what to write instead."""


@dataclass
class Member:
    """One `"key": value` of the top-level object, with the text around it."""

    key: str
    value: Any
    lead: str  # white space before the key
    name: str  # the key as written, with quotes, colon and the space after it
    raw: str  # the value as written
    tail: str = ""  # white space after the value

    def text(self) -> str:
        return f"{self.lead}{self.name}{self.raw}{self.tail}"


@dataclass
class Document:
    """A parsed daemon.json. members: in the file's order; head, foot: the text around them; source: the whole text, None without a file."""

    members: list[Member]
    head: str = "{"
    foot: str = "}\n"
    source: str | None = None

    def content(self) -> dict[str, Any]:
        """Return key → value."""
        return {member.key: member.value for member in self.members}

    def text(self) -> str:
        """Return the text to write."""
        return self.head + ",".join(member.text() for member in self.members) + self.foot

    def set_member(self, key: str, value: Any) -> None:
        """Set one member, in its present place or at the end."""
        for member in self.members:
            if member.key == key:
                if not _is_same_json(member.value, value):
                    member.value, member.raw = value, self._render_value(value, member.lead)
                return
        lead = self._choose_lead()
        last = self.members[-1] if self.members else None
        tail = "\n" if last is None else last.tail
        if last is not None:
            last.tail = ""
        self.members.append(Member(key, value, lead, f"{json.dumps(key, ensure_ascii=False)}: ", self._render_value(value, lead), tail))

    def remove_member(self, key: str) -> None:
        """Remove one member, if it exists."""
        for index, member in enumerate(self.members):
            if member.key == key:
                del self.members[index]
                if self.members and index == len(self.members):
                    self.members[-1].tail = member.tail
                elif self.members and index == 0:
                    self.members[0].lead = member.lead
                return

    def _choose_lead(self) -> str:
        """Return the white space before a new member: that of the last one, or one blank when all are on one line."""
        if not self.members:
            return "\n  "
        lead = self.members[-1].lead
        return lead if "\n" in lead else " "

    def _render_value(self, value: Any, lead: str) -> str:
        if "\n" not in lead:
            return json.dumps(value, ensure_ascii=False)
        indent = lead.rsplit("\n", 1)[1]
        return json.dumps(value, indent=indent or "  ", ensure_ascii=False).replace("\n", f"\n{indent}")


def parse_daemon_json(text: str | None, path: str = "/etc/docker/daemon.json") -> Document:
    """Return the parsed text. None and white space are an empty configuration, as for the engine.

    Raises DaemonJsonError, also for a key that is there twice, of which the engine silently uses the last.
    """
    if text is None or not text.strip(_BLANK):
        return Document([], source=text)
    return _Reader(text, path).read_document()


class _Reader:
    """Reads the top level in one pass; the standard decoder reads the values."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path, self.at = text, path, 0
        self.decoder = json.JSONDecoder(object_pairs_hook=self._build_object, parse_constant=self._reject_constant)

    def read_document(self) -> Document:
        if self.text.startswith("\ufeff"):
            self._fail("starts with a byte order mark, which engines before 22.06 reject; save it as UTF-8 without BOM", 0)
        if "\x00" in self.text[:8]:
            self._fail("is not UTF-8 (probably UTF-16); save it as UTF-8 without BOM", 0)
        head = self._skip_blank()
        if self._peek() != "{":
            self._fail_no_object()
        self.at += 1
        members = self._read_members()
        foot = self.text[self.at :]
        if foot[1:].strip(_BLANK):
            self.at += 1
            self._skip_blank()
            self._fail_here("there is text after the closing brace; write one JSON object and nothing after it")
        return Document(members, head + "{", foot, self.text)

    def _read_members(self) -> list[Member]:
        members: list[Member] = []
        seen: dict[str, int] = {}
        lead = self._skip_blank()
        if self._peek() == "}":
            return members
        while True:
            start = self.at
            if self._peek() == "}":
                self._fail_here("there is a comma after the last member; remove it")
            if self._peek() != '"':
                self._fail_here('a key in double quotes is missing here, as in "icc": false')
            key = self._read_value()
            if key in seen:
                first = self.text.count("\n", 0, seen[key]) + 1
                self._fail(f'"{key}" is there twice (first in line {first}); keep one of them', start)
            seen[key] = start
            self._skip_blank()
            if self._peek() != ":":
                self._fail_here(f'a colon is missing between "{key}" and its value')
            self.at += 1
            self._skip_blank()
            begin = self.at
            value = self._read_value()
            end = self.at
            tail = self._skip_blank()
            members.append(Member(key, value, lead, self.text[start:begin], self.text[begin:end], tail))
            if self._peek() == "}":
                return members
            if self._peek() != ",":
                self._fail_here(f'a comma or the closing brace is missing after the value of "{key}"')
            self.at += 1
            lead = self._skip_blank()

    def _read_value(self) -> Any:
        try:
            value, self.at = self.decoder.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            self.at = error.pos
            self._fail_here(self._explain(error))
        except RecursionError:
            self._fail_here("the value that starts here is nested too deeply; write fewer levels")
        return value

    def _explain(self, error: json.JSONDecodeError) -> str:
        """Return what to write instead."""
        rest = self.text[error.pos :].lstrip(_BLANK)
        before = self.text[: error.pos].rstrip(_BLANK)
        if not rest:
            return "the file ends in the middle; it is cut off, or a closing bracket is missing"
        if rest[0] in "]}" and before.endswith(","):
            return "there is a comma before the closing bracket; remove it"
        if rest.startswith(("True", "False", "None")):
            return "JSON writes true, false and null in small letters"
        if rest[0] == "'":
            return "JSON takes double quotes, not single ones"
        if error.msg.startswith("Unterminated string"):
            return "the text that starts here has no closing quote"
        return f"this is not JSON ({error.msg[0].lower()}{error.msg[1:]})"

    def _build_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                self._fail_here(f'"{key}" is twice in the object that starts here; keep one of them')
            found[key] = value
        return found

    def _reject_constant(self, name: str) -> NoReturn:
        self._fail_here(f"{name} is not a JSON number")

    def _fail_no_object(self) -> NoReturn:
        if self._peek() in ("/", "#"):
            self._fail_here("JSON has no comments; remove it")
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            self._fail_here("the file must be one JSON object, { … }")
        self._fail_here(f"the file is {_name_type(found)}, not an object; write {{ … }}")

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip_blank(self) -> str:
        start = self.at
        while self._peek() and self._peek() in _BLANK:
            self.at += 1
        return self.text[start : self.at]

    def _fail_here(self, what: str) -> NoReturn:
        rest = self.text[self.at :].lstrip(_BLANK)
        if rest.startswith(("//", "/*", "#")):
            self.at = len(self.text) - len(rest)
            what = "JSON has no comments; remove it"
        elif not rest and "cut off" not in what:
            what = "the file ends in the middle; it is cut off, or a closing bracket is missing"
        self._fail(what, self.at)

    def _fail(self, what: str, at: int) -> NoReturn:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        raise DaemonJsonError(f"{self.path}: line {line}, column {column}: {what}")


def _name_type(value: Any) -> str:
    if value is None:
        return "null"
    return {list: "a list", str: "a text", bool: "a boolean"}.get(type(value), "a number")


def _is_same_json(first: Any, second: Any) -> bool:
    """Return whether two values are equal as JSON: unlike in Python, true is not 1."""
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def mask_passwords(text: str) -> str:
    """Return the text with the passwords in URLs (of proxies) masked."""
    return re.sub(r"(://[^/\s:@\"]+):[^/\s@\"]+@", r"\1:***@", text)


@dataclass(frozen=True)
class Merge:
    """A change of daemon.json. before, after: its content.

    text: None when no file remains: none existed and none is needed, or Bulkhead created it and its last member is removed.
    memory: pointer (`/icc`, `/log-opts/max-size`) → {"value": managed value}, and "before": the unmanaged value that it replaced, if any.
    notices: messages about unmanaged values that are replaced, restored or kept.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    text: str | None
    memory: dict[str, dict[str, Any]]
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
    memory: Mapping[str, Mapping[str, Any]],
    keep: frozenset[str] = frozenset(),
    created: bool = False,
    path: str = "/etc/docker/daemon.json",
) -> Merge:
    """Set the `desired` keys, and remove the managed keys (`memory`) that are no longer desired.

    A desired object (`log-opts`) is merged member by member. A removed key gets its unmanaged value of before, if it had one. A key that
    somebody else changed since is not removed, and a notice says so.
    keep: top-level keys that stay unchanged in file and memory. created: whether Bulkhead created the file, so that it is removed when empty.
    """
    before = document.content()
    after = json.loads(json.dumps(before))
    places = _list_places(desired, before, memory)
    kept = {place: dict(entry) for place, entry in memory.items() if parse_pointer(place)[0] in keep}
    managed = {place: entry for place, entry in memory.items() if place not in kept}
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
        document.remove_member(key)
    for key, value in after.items():
        document.set_member(key, value)
    return Merge(before, after, None if created and not after else document.text(), remembered, notices)


def _list_places(desired: Mapping[str, Any], current: Mapping[str, Any], memory: Mapping[str, Any]) -> dict[str, Any]:
    """Return pointer → desired value: one per member of an object, unless the key has or had a value that is not an object."""
    places: dict[str, Any] = {}
    for key, value in desired.items():
        if isinstance(value, dict) and value and isinstance(current.get(key, {}), dict) and build_pointer(key) not in memory:
            places.update({build_pointer(key, name): member for name, member in value.items()})
        else:
            places[build_pointer(key)] = value
    return places


def _has_children(place: str, places: Mapping[str, Any]) -> bool:
    return any(other.startswith(f"{place}/") for other in places)


def _set_value(
    content: dict[str, Any], where: list[str], value: Any, entry: Mapping[str, Any] | None, path: str, notices: list[str]
) -> dict[str, Any]:
    """Set one value and return its memory, with the last unmanaged value in its place."""
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
    """Remove one managed value or restore the one before it, unless somebody else changed it."""
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
