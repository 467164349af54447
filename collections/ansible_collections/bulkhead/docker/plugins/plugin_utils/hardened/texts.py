# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks `command` and `environment`: what reaches the container is the text that was written. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .values import MAX_TEXT, SettingProblem, Written, check_type, explain_text, takes

# Bytes of all arguments and variables: a quarter of the stack's limit of 8 MiB, its pointers included (man 2 execve).
_MAX_ALL = 2 << 20


@takes(list)
def check_command(value: Any, written: Written) -> Iterator[SettingProblem]:
    """Yield the problems of a list of words."""
    for position, word in enumerate(value):
        why = explain_text(word, written)
        if why:
            yield SettingProblem(f"[{position}]", _shorten(word), why)


def check_environment(value: Any, written: Written) -> Iterator[SettingProblem]:
    """Yield the problems of a mapping of variables."""
    if isinstance(value, list):
        yield SettingProblem("", value, "is not a mapping; write NAME: value, such as {TZ: UTC}")
        return
    wrong = list(check_type(value, dict))
    yield from wrong
    for name, text in {} if wrong else value.items():
        if not isinstance(name, str):
            yield SettingProblem(f".{name}", None, "the name is not a text; put the name in quotes")
            continue
        why = _explain_name(name) or explain_text(text, written)
        if not why and len(f"{name}={text}".encode()) >= MAX_TEXT:
            why = f"is longer than the {MAX_TEXT} bytes that the kernel accepts; put it into a file in a volume"
        if why:
            yield SettingProblem(f".{name}", _shorten(text), why)


def check_size(command: list[Any], environment: dict[str, Any]) -> Iterator[SettingProblem]:
    """Yield a problem if no program would start, because arguments and variables are too long together."""
    texts = [*map(str, command), *(f"{name}={value}" for name, value in environment.items())]
    size = sum(len(text.encode()) + 9 for text in texts)
    if size >= _MAX_ALL:
        yield SettingProblem(
            "", None, f"has {size} bytes together with command, and the kernel accepts {_MAX_ALL}; put values into files in a volume"
        )


def _explain_name(name: str) -> str:
    """Return why a variable cannot have this name; empty if it can.

    compose drops names with x-, its extensions, and treats a `$` in values, not in names, as the start of a variable.
    """
    if not name or "=" in name or "$" in name or not name.isprintable() or any(character.isspace() for character in name):
        return "is not a name for a variable; write one without blanks, =, $ and control characters"
    if name.startswith("x-"):
        return "begins with x-, which compose drops (11-extension.md of the compose specification); write another name"
    return ""


def _shorten(value: Any) -> Any:
    """Return a value as a message shows it: nothing of a text, which may be a secret."""
    return None if isinstance(value, str) else "null" if value is None else value
