# SPDX-License-Identifier: GPL-3.0-or-later
"""Which users may have the rootless engine, by their name. Pure; runs on the control node."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}")
# A user of a directory service, such as alice@corp.example or CORP\\alice.
_OTHER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,254}")
# What else a name may contain, and why it does not work.
_UNSAFE = {
    "/": "which separates folders in paths of its state",
    ":": "which separates fields in /etc/subuid",
    "%": "which begins a specifier in the unit",
}


def explain_name(user: str, is_known: bool) -> str:
    """Return why no engine can be set up for a user of this name; empty if one can. is_known: whether the host has the user, by NSS."""
    advice = "write one that begins with a letter, such as rootless"
    if _NAME.fullmatch(user) or (is_known and not user.isdigit() and _OTHER_NAME.fullmatch(user)):
        return ""
    if not user or user.isdigit():
        return f"is not a user name; {advice}"
    bad = next((c for c in user if not re.fullmatch(r"[A-Za-z0-9_.@\\-]", c)), "")
    if bad:
        return f"contains {bad!r}, {_UNSAFE.get(bad, 'which unit files and shells read as something else')}; {advice}"
    if is_known or not _OTHER_NAME.fullmatch(user):
        return f"is not a user name; {advice}"
    return (
        "is a name of a directory service, and this host does not know the user (getent passwd); join the host to the service first,"
        " or write a name of letters, digits, dots and dashes, up to 31, which can be created"
    )
