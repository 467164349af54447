# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of hardened_container_list share: a problem, and whether a value is the text or the number that was written. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import wraps
from typing import Any, NamedTuple

# Returns the characters with which a number was written in a file; empty if that is unknown.
Written = Callable[[Any], str]
_TYPE_NAMES = {str: "a text", list: "a list", dict: "a mapping", bool: "true or false"}
# What YAML 1.1 reads as another number than the decimal one: octal with a leading 0, and base 60 with colons (yaml.org/type/int.html).
_MISREAD = re.compile(r"[-+]?0[0-9_]+|.*:.*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Bytes that the kernel accepts in one argument or variable, with the NUL at its end (Linux binfmts.h: MAX_ARG_STRLEN).
MAX_TEXT = 128 << 10
# Bytes. The engine reads sizes as floats, and close to 2^63 its result is negative (docker/go-units size.go).
LAST_SIZE = 1 << 60


class SettingProblem(NamedTuple):
    """part: what follows the setting's name, such as `.HOME` or `[0]`. value: None is shown as nothing. why: what is wrong, and what to write."""

    part: str
    value: Any
    why: str


Checker = Callable[[Any, Written], Iterator[SettingProblem]]


def takes(kind: type) -> Callable[[Checker], Checker]:
    """Return a decorator of a check that takes values of one kind. For a value of another kind, it yields a problem and does not call the check."""

    def decorate(check: Checker) -> Checker:
        @wraps(check)
        def checked(value: Any, written: Written) -> Iterator[SettingProblem]:
            wrong = list(check_type(value, kind))
            yield from wrong or check(value, written)

        return checked

    return decorate


def report(value: Any, why: str) -> Iterator[SettingProblem]:
    """Yield the problem of a whole value; none if `why` is empty."""
    if why:
        yield SettingProblem("", "null" if value is None else value, why)


def check_type(value: Any, kind: type) -> Iterator[SettingProblem]:
    """Yield a problem if a value is not of this kind. kind: one of the types of JSON."""
    if value is None:
        yield SettingProblem("", "null", "has no value; leave it out, or write " + _TYPE_NAMES[kind])
    elif not isinstance(value, kind):
        quotes = "; put it in quotes" if kind is str and not isinstance(value, Mapping | list) else ""
        quotes = "; write true or false, without quotes" if kind is bool else quotes
        yield SettingProblem("", value, f"is not {_TYPE_NAMES[kind]}{quotes}" if kind is not bool else f"is not a boolean{quotes}")


def explain_text(value: Any, written: Written) -> str:
    """Return why a value does not reach the container as the text that was written; empty if it does. A number is a text too."""
    if isinstance(value, str):
        return explain_characters(value)
    if value is None:
        return "has no value; put it in quotes ('' for an empty text), or leave it out"
    if isinstance(value, bool):
        return "is a boolean, as YAML reads yes, no, on, off, true and false; put it in quotes"
    if isinstance(value, date):
        return "is a date; put it in quotes"
    if isinstance(value, Mapping | list):
        return f"is {_TYPE_NAMES[dict if isinstance(value, Mapping) else list]} and not a text; put it in quotes"
    if not isinstance(value, int | float):
        return "is not a text; put it in quotes"
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a number; put it in quotes"
    if isinstance(value, int) and value.bit_length() > 256:
        return "is too large for a number; put it in quotes"
    source = written(value)
    return f"is what YAML reads for {source}; put it in quotes" if source and source != str(value) else ""


def explain_characters(text: str) -> str:
    """Return why neither compose nor the kernel takes this text; empty if they do."""
    if "\0" in text:
        return "contains a NUL character, at which the kernel ends a text; remove it"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "contains a part of a character (a surrogate), which UTF-8 cannot express; write the whole character"
    return "" if size < MAX_TEXT else f"has {size} bytes and the kernel accepts fewer than {MAX_TEXT}; put it into a file in a volume"


def explain_number(value: Any, written: Written) -> str:
    """Return a message if YAML reads a number that differs from the decimal one that was written; otherwise empty."""
    source = written(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""
    return f"is what YAML reads for {source}; write a decimal number" if _MISREAD.fullmatch(source) else ""


def format_value(value: Any) -> str:
    """Return a value as a message shows it. Python converts no integer of more than 4300 digits."""
    try:
        text = str(value) if isinstance(value, date) else repr(value)
    except ValueError:
        return "a value with a very long number"
    return text if len(text) <= 200 else f"{text[:200]}…"


def escape(message: str) -> str:
    """Return a message with each character that cannot be printed as Python writes it, such as `\\n`."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in message)


def has_control_character(text: str) -> bool:
    """Return whether a text contains a character that no name or path of a setting may contain."""
    return _CONTROL.search(text) is not None
