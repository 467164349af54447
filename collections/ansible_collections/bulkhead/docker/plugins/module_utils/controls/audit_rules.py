# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which paths the kernel's audit watches, from its own list of rules (AUDIT_LIST_RULES), not from files."""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

_NETLINK_AUDIT, _LIST_RULES, _REQUEST = 9, 1013, 5  # linux/netlink.h, linux/audit.h; NLM_F_REQUEST | NLM_F_ACK
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_PERM, _WATCH, _DIR = 106, 105, 107  # AUDIT_PERM, AUDIT_WATCH, AUDIT_DIR
_EXIT, _ALWAYS = 4, 2  # AUDIT_FILTER_EXIT, AUDIT_ALWAYS
_TEXTS = frozenset({12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, _WATCH, _DIR, 112, 210})  # fields whose value is the length of a text
_HEADER = struct.Struct("=IHHII")
# struct audit_rule_data: flags, action, field_count, mask[64], fields[64], values[64], fieldflags[64], buflen
_RULE = struct.Struct("=3I64I64I64I64II")
_MAX_FIELDS = 64


def list_watches() -> list[dict[str, Any]]:
    """Return the rules that watch a path. Raises OSError without CAP_AUDIT_CONTROL in the host's user namespace, or with audit=0."""
    found: list[dict[str, Any]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_AUDIT) as link:
        link.settimeout(5)
        link.send(_HEADER.pack(_HEADER.size, _LIST_RULES, _REQUEST, 1, 0))
        while True:
            message = link.recv(1 << 16)
            length, kind = _HEADER.unpack_from(message)[:2]
            if kind == _ERROR:
                number = -struct.unpack_from("=i", message, _HEADER.size)[0]
                if number:
                    raise OSError(number, os.strerror(number))
            elif kind == _DONE:
                return found
            elif kind == _LIST_RULES:
                found += parse_rule(message[_HEADER.size : length])


def parse_rule(data: bytes) -> list[dict[str, Any]]:
    """Return what one struct audit_rule_data watches: `path`, `folder` (whether all below it), and `permissions` such as `wa`.

    Only rules that always make a record when a system call ends are returned. A rule without permissions watches all.
    """
    if len(data) < _RULE.size:
        return []
    numbers = _RULE.unpack_from(data)
    flags, action, count = numbers[:3]
    fields, values = numbers[67 : 67 + _MAX_FIELDS], numbers[131 : 131 + _MAX_FIELDS]
    if flags & 0xF != _EXIT or action != _ALWAYS:
        return []
    found, at, permissions = [], _RULE.size, "rwxa"
    for field, value in list(zip(fields, values, strict=True))[: min(count, _MAX_FIELDS)]:
        if field == _PERM:
            permissions = "".join(letter for bit, letter in ((4, "r"), (2, "w"), (1, "x"), (8, "a")) if value & bit)
        if field in _TEXTS:
            if field in (_WATCH, _DIR):
                found.append({"path": data[at : at + value].decode("utf-8", "replace"), "folder": field == _DIR})
            at += value
    return [{**watch, "permissions": permissions} for watch in found]
