# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for reports. Data from hosts are not trusted: processes in containers choose names, paths and labels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

# Control and format characters (Cc, Cf: terminal escapes, changes of writing direction), line and paragraph separators (Zl, Zp), halves of surrogate
# pairs (Cs), and characters that XML 1.0 does not allow (section 2.2, Char).
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_NOT_XML = ("\ufffe", "\uffff")
_PLAIN = re.compile(r"[ -~]*\Z")


def escape_hidden(text: str) -> str:
    """Return the text with every invisible or reordering character as an escape: `\\x1b`, `\\u202e`."""
    if _PLAIN.match(text):
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN or c in _NOT_XML else c for c in text)


def escape_value(value: Any) -> Any:
    """Return a JSON value with every string in it escaped, keys too."""
    if isinstance(value, str):
        return escape_hidden(value)
    if isinstance(value, Mapping):
        return {escape_hidden(str(key)): escape_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escape_value(item) for item in value]
    return value


def render_value(value: Any) -> str:
    """Return a value of evidence as one line, without quotes; ID maps as `0 231072 65536, …`."""
    if isinstance(value, list):
        return ", ".join(" ".join(str(n) for n in item) if isinstance(item, list) else str(item) for item in value)
    if value is None:
        return "nothing"
    return str(value)


def list_messages(messages: Sequence[str], noun: str) -> str:
    """Return one message as it is, several with their number and one per line. noun: for several of them."""
    return messages[0] if len(messages) == 1 else f"{len(messages)} {noun}:\n" + "\n".join(f"- {message}" for message in messages)


def format_age(seconds: float) -> str:
    """Return an age as `3 min`, `5 h` or `12 days`."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return "< 2 min"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
