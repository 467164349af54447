# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads YAML strictly: each mistake is one message with file, line, place, value and what to write. Pure.

A `Reader` takes a node and returns its value. Readers of lists and mappings are made of other readers. A mistake is noted in `Mistakes`, and the reader
returns a value of its type, so that one run finds every mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any, NamedTuple

import yaml

from ..suggestion import suggest

# The one in C is ten times as fast; PyYAML may be built without it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z")


class Place(NamedTuple):
    """A node and where it is: the keys that lead to it, such as `calls.read.abis`."""

    node: yaml.Node
    path: str

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    @property
    def shown(self) -> str:
        """The node as a message shows it."""
        if isinstance(self.node, yaml.ScalarNode):
            text = repr(self.node.value)
            return text if len(text) <= 80 else f"{text[:80]}…"
        return "a list" if isinstance(self.node, yaml.SequenceNode) else "a mapping"


class Mistakes:
    """The messages about one file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.messages: list[str] = []

    def add(self, place: Place, problem: str) -> None:
        """Note what is wrong with a node, and what to write instead. problem: after the place, such as `'x' is not a number; write 1`."""
        self.messages.append(f"{self.path}:{place.line}: {f'{place.path}: ' if place.path else ''}{problem}")


Reader = Callable[[Place, Mistakes], Any]


def read_root(text: str, mistakes: Mistakes) -> yaml.Node | None:
    """Return the root of a text; None after a mistake in its syntax."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        mistakes.messages.append(f"{mistakes.path}:{line}: {error.problem or error.context}; this is not YAML, correct the line")
        return None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        mistakes.messages.append(f"{mistakes.path}: {' '.join(str(error).split())}; this is not YAML, remove the character")
        return None
    if node is None:
        mistakes.messages.append(f"{mistakes.path}: the file is empty; remove it, or restore it from your repository")
    return node


def read_text(place: Place, mistakes: Mistakes) -> str:
    """Return a text that is not empty."""
    text = read_any_text(place, mistakes)
    if not text and isinstance(place.node, yaml.ScalarNode) and place.node.tag == f"{_TAG}str":
        mistakes.add(place, "the text is empty; write one, or remove the line")
    return text


def read_any_text(place: Place, mistakes: Mistakes) -> str:
    """Return a text that may be empty."""
    if not isinstance(place.node, yaml.ScalarNode):
        mistakes.add(place, f"{place.shown} is not a text; write one text")
        return ""
    if place.node.tag != f"{_TAG}str":
        kind = place.node.tag.removeprefix(_TAG)
        known = {"int": "a number", "float": "a number", "bool": "a boolean", "null": "nothing", "timestamp": "a date"}
        mistakes.add(place, f"{place.shown} is read as {known.get(kind, kind)}, and not as a text; put it in quotes")
    return str(place.node.value)


def read_number(place: Place, mistakes: Mistakes) -> int:
    """Return a number from 0."""
    if isinstance(place.node, yaml.ScalarNode) and place.node.tag == f"{_TAG}int" and _NUMBER.fullmatch(place.node.value):
        return int(place.node.value)
    mistakes.add(place, f"{place.shown} is not a number; write digits, such as 12")
    return 0


def read_positive(place: Place, mistakes: Mistakes) -> int:
    """Return a number from 1."""
    before = len(mistakes.messages)
    number = read_number(place, mistakes)
    if number == 0 and len(mistakes.messages) == before:
        mistakes.add(place, "0 is too low; write a number from 1, or remove what was not seen")
    return number


def read_boolean(place: Place, mistakes: Mistakes) -> bool:
    """Return a boolean."""
    if isinstance(place.node, yaml.ScalarNode) and place.node.tag == f"{_TAG}bool":
        return place.node.value.lower() in ("true", "yes", "on")
    mistakes.add(place, f"{place.shown} is not a boolean; write true or false")
    return False


def read_day(place: Place, mistakes: Mistakes) -> str:
    """Return a day as YYYY-MM-DD."""
    if isinstance(place.node, yaml.ScalarNode) and is_day(place.node.value):
        return str(place.node.value)
    mistakes.add(place, f"{place.shown} is not a day; write YYYY-MM-DD, such as 2026-11-28")
    return "2026-01-01"


def read_time(place: Place, mistakes: Mistakes) -> str:
    """Return a time as YYYY-MM-DDTHH:MM:SSZ."""
    if isinstance(place.node, yaml.ScalarNode) and _TIME.fullmatch(place.node.value) and is_day(place.node.value[:10]):
        return str(place.node.value)
    mistakes.add(place, f"{place.shown} is not a time; write YYYY-MM-DDTHH:MM:SSZ, such as 2026-11-28T21:30:00Z")
    return "2026-01-01T00:00:00Z"


def is_day(text: str) -> bool:
    """Return whether a text is an existing day as YYYY-MM-DD."""
    try:
        return bool(_DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def read_pattern(pattern: str, what: str, example: str) -> Reader:
    """Return a reader of texts of a form."""
    expression = re.compile(pattern)

    def read(place: Place, mistakes: Mistakes) -> str:
        before = len(mistakes.messages)
        text = read_any_text(place, mistakes)
        if len(mistakes.messages) == before and not expression.fullmatch(text):
            mistakes.add(place, f"{place.shown} is not {what}; write it as {example}")
        return text

    return read


def read_choice(choices: Collection[str], what: str) -> Reader:
    """Return a reader of one of some words."""

    def read(place: Place, mistakes: Mistakes) -> str:
        before = len(mistakes.messages)
        text = read_any_text(place, mistakes)
        if len(mistakes.messages) == before and text not in choices:
            listed = sorted(choices)
            otherwise = f"write one of {', '.join(listed)}" if len(listed) <= 20 else "remove the line"
            mistakes.add(place, f"{place.shown} is not {what}; {suggest(text, choices, otherwise)}")
        return text

    return read


def read_list(reader: Reader) -> Reader:
    """Return a reader of a list."""

    def read(place: Place, mistakes: Mistakes) -> list[Any]:
        if not isinstance(place.node, yaml.SequenceNode):
            mistakes.add(place, f"{place.shown} is not a list; write [] for none, or each entry after a dash")
            return []
        return [reader(Place(node, f"{place.path}[{number}]"), mistakes) for number, node in enumerate(place.node.value)]

    return read


def read_map(read_key: Reader, read_value: Reader) -> Reader:
    """Return a reader of a mapping with any keys of a kind. It returns pairs of keys and values as a dictionary."""

    def read(place: Place, mistakes: Mistakes) -> dict[Any, Any]:
        found = {}
        for key, value in _check_pairs(place, mistakes):
            inside = f"{place.path}.{key.node.value}" if place.path else str(key.node.value)
            found[read_key(Place(key.node, inside), mistakes)] = read_value(Place(value.node, inside), mistakes)
        return found

    return read


def read_fields(required: Mapping[str, Reader], optional: Mapping[str, Reader] | None = None) -> Reader:
    """Return a reader of a mapping with known keys. An optional key that is absent is absent in the result too."""
    known = {**required, **(optional or {})}

    def read(place: Place, mistakes: Mistakes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in _check_pairs(place, mistakes):
            name = str(key.node.value)
            inside = f"{place.path}.{name}" if place.path else name
            if name not in known:
                advice = suggest(name, known, f"keys are {', '.join(known)}")
                mistakes.add(Place(key.node, inside), f"{name!r} is an unknown key; {advice}, or remove the line")
                continue
            found[name] = known[name](Place(value.node, inside), mistakes)
        if isinstance(place.node, yaml.MappingNode):
            for name in required:
                if name not in found:
                    mistakes.add(place, f"the key {name} is missing; add it, or restore the file from your repository")
        return found

    return read


def list_pairs(place: Place) -> list[tuple[str, Place]]:
    """Return keys and values of a mapping; an empty list for any other node."""
    if not isinstance(place.node, yaml.MappingNode):
        return []
    return [
        (str(key.value), Place(value, f"{place.path}.{key.value}" if place.path else str(key.value))) for key, value in place.node.value
    ]


def _check_pairs(place: Place, mistakes: Mistakes) -> list[tuple[Place, Place]]:
    """Return keys and values of a mapping; a key that is repeated or is not one word is a mistake and left out."""
    if not isinstance(place.node, yaml.MappingNode):
        mistakes.add(place, f"{place.shown} is not a mapping; write keys and values, or {{}} for none")
        return []
    found: list[tuple[Place, Place]] = []
    lines: dict[str, int] = {}
    for key, value in place.node.value:
        at = Place(key, place.path)
        if not isinstance(key, yaml.ScalarNode):
            mistakes.add(at, f"{at.shown} cannot be a key; write one word")
        elif key.value in lines:
            mistakes.add(at, f"the key {key.value!r} is also on line {lines[key.value]}; write it once")
        else:
            lines[key.value] = at.line
            found.append((at, Place(value, place.path)))
    return found
