# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses daemon.json strictly, with the text, order and white space of its members. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

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


def parse_daemon_json(text: str | None, path: str = "/etc/docker/daemon.json") -> Document:
    """Return the parsed text. None, white space and `null` are an empty configuration, as for the engine.

    Raises DaemonJsonError, also for a key that is there twice, of which the engine silently uses the last.
    """
    if text is None or text.strip(_BLANK) in ("", "null"):
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
        if "," in (rest[0], before[-1:]) and rest.lstrip(_BLANK + ",")[:1] in tuple("]}"):
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
    return {list: "a list", str: "a text", bool: "a boolean"}.get(type(value), "a number")
