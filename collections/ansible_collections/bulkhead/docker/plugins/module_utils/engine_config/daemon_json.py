# SPDX-License-Identifier: GPL-3.0-or-later
"""daemon.json as a text: read strictly, and changed so that what is not ours stays as its owner wrote it, to the byte.

Pure. Our members are put, replaced and taken out; the text of every other member, its order and its white space stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from . import keys

_BLANK = " \t\r\n"


class DaemonJsonError(ValueError):
    """The file can't be understood: one sentence with file, line, column and what to write instead."""


@dataclass
class Member:
    """One `"key": value` of the top-level object, with the text around it."""

    key: str
    value: Any
    lead: str  # white space before the key
    name: str  # the key as it stands, quotes, colon and the space after it included
    raw: str  # the value as it stands
    tail: str = ""  # white space between the value and what ends it

    def text(self) -> str:
        return f"{self.lead}{self.name}{self.raw}{self.tail}"


@dataclass
class Document:
    """A parsed daemon.json. `members` in the file's order; `head` and `foot` stand around them; `source` is the text it was read from."""

    members: list[Member]
    head: str = "{"
    foot: str = "}\n"
    source: str | None = None

    def content(self) -> dict[str, Any]:
        return {member.key: member.value for member in self.members}

    def text(self) -> str:
        """The file as it is to be written."""
        return self.head + ",".join(member.text() for member in self.members) + self.foot

    def put(self, key: str, value: Any) -> None:
        """Set one member, in its old place or at the end."""
        for member in self.members:
            if member.key == key:
                if not _same(member.value, value):
                    member.value, member.raw = value, self._rendered(value, member.lead)
                return
        lead = self._lead()
        last = self.members[-1] if self.members else None
        tail = "\n" if last is None else last.tail
        if last is not None:
            last.tail = ""
        self.members.append(Member(key, value, lead, f"{json.dumps(key, ensure_ascii=False)}: ", self._rendered(value, lead), tail))

    def drop(self, key: str) -> None:
        """Take one member out, if it is there."""
        for index, member in enumerate(self.members):
            if member.key == key:
                del self.members[index]
                if self.members and index == len(self.members):
                    self.members[-1].tail = member.tail
                elif self.members and index == 0:
                    self.members[0].lead = member.lead
                return

    def _lead(self) -> str:
        """The white space that a further member gets: the last one's, or on one line the usual blank."""
        if not self.members:
            return "\n  "
        lead = self.members[-1].lead
        return lead if "\n" in lead else " "

    def _rendered(self, value: Any, lead: str) -> str:
        if "\n" not in lead:
            return json.dumps(value, ensure_ascii=False)
        indent = lead.rsplit("\n", 1)[1]
        return json.dumps(value, indent=indent or "  ", ensure_ascii=False).replace("\n", f"\n{indent}")


def parse_daemon_json(text: str | None, path: str = "/etc/docker/daemon.json") -> Document:
    """Read the file's text. None and nothing but white space are an empty configuration, as they are for the engine.

    Stricter than the engine, which takes the last of two members of one name without a word. Raises DaemonJsonError.
    """
    if text is None or not text.strip(_BLANK):
        return Document([], source=text)
    reader = _Reader(text, path)
    return reader.document()


class _Reader:
    """One pass over the top level; the values themselves are read by the standard decoder."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path, self.at = text, path, 0
        self.decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant)

    def document(self) -> Document:
        if self.text.startswith("\ufeff"):
            self._fail("starts with a byte order mark, which engines before 22.06 refuse; save it as UTF-8 without BOM", 0)
        if "\x00" in self.text[:8]:
            self._fail("is not UTF-8 (UTF-16, by its look); save it as UTF-8 without BOM", 0)
        head = self._blank()
        if self._peek() != "{":
            self._not_an_object()
        self.at += 1
        members = self._members()
        foot = self.text[self.at :]
        if foot[1:].strip(_BLANK):
            self.at += 1
            self._blank()
            self._fail_here("there is more after the closing brace; write one JSON object and nothing after it")
        return Document(members, head + "{", foot, self.text)

    def _members(self) -> list[Member]:
        members: list[Member] = []
        seen: dict[str, int] = {}
        lead = self._blank()
        if self._peek() == "}":
            return members
        while True:
            start = self.at
            if self._peek() == "}":
                self._fail_here("there is a comma after the last member; take it out")
            if self._peek() != '"':
                self._fail_here('a key in double quotes belongs here, as in "icc": false')
            key = self._value()
            if key in seen:
                first = self.text.count("\n", 0, seen[key]) + 1
                self._fail(f'"{key}" stands there twice (first in line {first}); keep one of them', start)
            seen[key] = start
            self._blank()
            if self._peek() != ":":
                self._fail_here(f'a colon belongs between "{key}" and its value')
            self.at += 1
            self._blank()
            begin = self.at
            value = self._value()
            end = self.at
            tail = self._blank()
            members.append(Member(key, value, lead, self.text[start:begin], self.text[begin:end], tail))
            if self._peek() == "}":
                return members
            if self._peek() != ",":
                self._fail_here(f'a comma or the closing brace is missing after the value of "{key}"')
            self.at += 1
            lead = self._blank()

    def _value(self) -> Any:
        try:
            value, self.at = self.decoder.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            self.at = error.pos
            self._fail_here(self._hint(error))
        except RecursionError:
            self._fail_here("the value that starts here is nested too deeply; write it flatter")
        return value

    def _hint(self, error: json.JSONDecodeError) -> str:
        """What to write instead, by what stands there."""
        rest = self.text[error.pos :].lstrip(_BLANK)
        before = self.text[: error.pos].rstrip(_BLANK)
        if not rest:
            return "the file ends in the middle; it is cut off, or a closing bracket is missing"
        if rest[0] in "]}" and before.endswith(","):
            return "there is a comma before the closing bracket; take it out"
        if rest.startswith(("True", "False", "None")):
            return "JSON writes true, false and null in small letters"
        if rest[0] == "'":
            return "JSON takes double quotes, not single ones"
        if error.msg.startswith("Unterminated string"):
            return "the text that starts here has no closing quote"
        return f"this is not JSON ({error.msg[0].lower()}{error.msg[1:]})"

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                self._fail_here(f'"{key}" stands twice in one object that starts here; keep one of them')
            found[key] = value
        return found

    def _constant(self, name: str) -> NoReturn:
        self._fail_here(f"{name} is no JSON number")

    def _not_an_object(self) -> NoReturn:
        if self._peek() in ("/", "#"):
            self._fail_here("JSON has no comments; take it out")
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            self._fail_here("the file must hold one JSON object, { … }")
        self._fail_here(f"the file holds {_kind(found)} where an object, {{ … }}, belongs")

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _blank(self) -> str:
        start = self.at
        while self._peek() and self._peek() in _BLANK:
            self.at += 1
        return self.text[start : self.at]

    def _fail_here(self, what: str) -> NoReturn:
        rest = self.text[self.at :].lstrip(_BLANK)
        if rest.startswith(("//", "/*", "#")):
            self.at = len(self.text) - len(rest)
            what = "JSON has no comments; take it out"
        elif not rest and "cut off" not in what:
            what = "the file ends in the middle; it is cut off, or a closing bracket is missing"
        self._fail(what, self.at)

    def _fail(self, what: str, at: int) -> NoReturn:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        raise DaemonJsonError(f"{self.path}: line {line}, column {column}: {what}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {list: "a list", str: "a text", bool: "a boolean"}.get(type(value), "a number")


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: unlike in Python, true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def mask_passwords(text: str) -> str:
    """A text for people, without the passwords in its URLs (a proxy's)."""
    return re.sub(r"(://[^/\s:@\"]+):[^/\s@\"]+@", r"\1:***@", text)


# --- what is ours ---


@dataclass(frozen=True)
class Merge:
    """What daemon.json becomes, and what is to be remembered of it.

    text: None where no file is to be there: there was none and nothing is desired, or we made it and its last member goes.
    memory: pointer (`/icc`, `/log-opts/max-size`) → {"value": ours} plus "before": what stood there before us, if something did.
    notices: sentences about foreign values that were overwritten, given back, or left.
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
    """The name of a place in the file (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def parse_pointer(place: str) -> list[str]:
    """The parts of a `pointer`."""
    return [part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:]]


def merge_keys(
    document: Document,
    desired: Mapping[str, Any],
    memory: Mapping[str, Mapping[str, Any]],
    keep: frozenset[str] = frozenset(),
    created: bool = False,
    path: str = "/etc/docker/daemon.json",
) -> Merge:
    """Put `desired` into the file, and take out what `memory` says is ours and is no longer desired.

    An object among the desired values (`log-opts`) is merged member by member into the one that stands there.
    Given up is only what still has our value: where somebody has written another one since, it is theirs and stays, with a notice.
    Where we had overwritten a foreign value, that one comes back. Top-level keys in `keep` stay as they are, in file and memory.
    `created`: the file was made by us, so that nothing is left of it when its last member goes.
    """
    before = document.content()
    after = json.loads(json.dumps(before))
    places = _places(desired, before, memory)
    kept = {place: dict(entry) for place, entry in memory.items() if parse_pointer(place)[0] in keep}
    ours = {place: entry for place, entry in memory.items() if place not in kept}
    notices: list[str] = []

    for place, entry in ours.items():
        if place not in places and not _is_parent(place, places):
            _give_up(after, parse_pointer(place), entry, path, notices)
    remembered = dict(kept)
    for place, value in places.items():
        if parse_pointer(place)[0] in keep:
            continue
        remembered[place] = _claim(after, parse_pointer(place), value, ours.get(place), path, notices)

    if _same(before, after):
        return Merge(before, after, document.source, remembered, notices)
    for key in [key for key in before if key not in after]:
        document.drop(key)
    for key, value in after.items():
        document.put(key, value)
    return Merge(before, after, None if created and not after else document.text(), remembered, notices)


def _places(desired: Mapping[str, Any], current: Mapping[str, Any], memory: Mapping[str, Any]) -> dict[str, Any]:
    """The desired values by place: members of an object one by one, unless something else than an object stands or stood there."""
    places: dict[str, Any] = {}
    for key, value in desired.items():
        if isinstance(value, dict) and value and isinstance(current.get(key, {}), dict) and build_pointer(key) not in memory:
            places.update({build_pointer(key, name): member for name, member in value.items()})
        else:
            places[build_pointer(key)] = value
    return places


def _is_parent(place: str, places: Mapping[str, Any]) -> bool:
    return any(other.startswith(f"{place}/") for other in places)


def _claim(
    content: dict[str, Any], where: list[str], value: Any, entry: Mapping[str, Any] | None, path: str, notices: list[str]
) -> dict[str, Any]:
    """Set one value; what is remembered is the last foreign value in its place."""
    holder = content
    for part in where[:-1]:
        holder = holder.setdefault(part, {})
    name = where[-1]
    there = name in holder
    standing = holder.get(name)
    holder[name] = value
    if entry is not None and there and _same(standing, entry.get("value")):
        return {**entry, "value": value}
    if there and not _same(standing, value):
        notices.append(f"{path}: {_spelled(where)} was {json.dumps(standing)}, becomes {json.dumps(value)}; the old value is remembered")
    return {"value": value, "before": standing} if there else {"value": value}


def _give_up(content: dict[str, Any], where: list[str], entry: Mapping[str, Any], path: str, notices: list[str]) -> None:
    """Take one value of ours out, unless it is no longer ours."""
    holder: Any = content
    for part in where[:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else None
    name = where[-1]
    if not isinstance(holder, dict) or name not in holder:
        return
    if not _same(holder[name], entry.get("value")):
        notices.append(
            f"{path}: {_spelled(where)} was {json.dumps(entry.get('value'))} when we wrote it and is {json.dumps(holder[name])} now:"
            " somebody changed it since, so it stays"
        )
        return
    if "before" in entry:
        if not _same(holder[name], entry["before"]):
            notices.append(f"{path}: {_spelled(where)} gets back {json.dumps(entry['before'])}, which stood there before")
        holder[name] = entry["before"]
        return
    del holder[name]
    if not holder and len(where) == 2:
        del content[where[0]]


def _spelled(where: list[str]) -> str:
    return where[0] if len(where) == 1 else f"{where[0]}.{where[1]}"
