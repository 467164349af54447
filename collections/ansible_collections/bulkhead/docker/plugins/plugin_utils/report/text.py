# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes from a host is not to be trusted: names, paths and labels are whatever somebody in a container made them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# Control and format characters (Cc, Cf: terminal escapes, and those that turn the direction of writing), halves of surrogate pairs (Cs), and
# what XML 1.0 has no place for (section 2.2, Char).
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_NOT_XML = ("\ufffe", "\uffff")
_PLAIN = re.compile(r"[ -~]*\Z")


def visible(text: str) -> str:
    """The text with every character that a reader could not see, or that would move others, written as an escape: `\\x1b`, `\\u202e`."""
    if _PLAIN.match(text):
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN or c in _NOT_XML else c for c in text)


def cleaned(value: Any) -> Any:
    """A JSON value with every string in it made visible, keys too."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    return value


def words(value: Any) -> str:
    """A piece of evidence as a reader wants it: ID maps and lists in a line, nothing in quotes that needs none."""
    if isinstance(value, list):
        return ", ".join(" ".join(str(n) for n in item) if isinstance(item, list) else str(item) for item in value)
    if value is None:
        return "nothing"
    return str(value)


def age(seconds: float) -> str:
    """`3 min`, `5 h`, `12 days`."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return "< 2 min"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
