# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of this collection is: Ansible's, but with an answer that can be read whatever the host's files hold."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# How `Host.read` keeps a byte that is no UTF-8 (PEP 383), and what else is no character: halves of surrogate pairs.
_HALVES = re.compile("[\ud800-\udfff]")


class Module(AnsibleModule):
    """ansible-core (2.19) refuses an answer with anything in it that is no UTF-8, and then nothing at all is known of the host."""

    def exit_json(self, **answer: Any) -> None:
        super().exit_json(**make_readable(answer))

    def fail_json(self, msg: str, **answer: Any) -> None:
        super().fail_json(**make_readable({"msg": msg, **answer}))


def make_readable(value: Any) -> Any:
    """The same with a byte that is no UTF-8 written as `\\xff`, in the keys and values of JSON-able data."""
    match value:
        case str():
            return _HALVES.sub(_written, value)
        case dict():
            return {make_readable(key): make_readable(item) for key, item in value.items()}
        case list() | tuple():
            return [make_readable(item) for item in value]
    return value


def _written(half: re.Match[str]) -> str:
    number = ord(half[0])
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"
