# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of all modules: an AnsibleModule whose result is valid UTF-8, whatever the files of the host contain."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# `Host.read` keeps a byte that is not UTF-8 as half of a surrogate pair (PEP 383); other halves are not characters either.
_SURROGATES = re.compile("[\ud800-\udfff]")


class Module(AnsibleModule):
    """ansible-core (2.19) rejects a result with a surrogate, and then nothing is known of the host."""

    def exit_json(self, **answer: Any) -> None:
        super().exit_json(**make_readable(answer))

    def fail_json(self, msg: str, **answer: Any) -> None:
        super().fail_json(**make_readable({"msg": msg, **answer}))


def make_readable(value: Any) -> Any:
    """Return JSON data with each byte that is not UTF-8 written as `\\xff`, in keys and values."""
    match value:
        case str():
            return _SURROGATES.sub(_escape, value)
        case dict():
            return {make_readable(key): make_readable(item) for key, item in value.items()}
        case list() | tuple():
            return [make_readable(item) for item in value]
    return value


def _escape(surrogate: re.Match[str]) -> str:
    number = ord(surrogate[0])
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"
