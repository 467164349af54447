# SPDX-License-Identifier: GPL-3.0-or-later
"""The user that a value of `userns-remap` names, and how versions of the engine look for its ranges. Pure."""

from __future__ import annotations

DEFAULT_USER = "dockremap"


def parse_remap_user(setting: str) -> tuple[str, str]:
    """Return user and group of a `userns-remap` value, `user` or `user:group`. The group is empty if none is named."""
    user, unused, group = setting.partition(":")
    return (DEFAULT_USER if user == "default" else user), group


def prefers_numeric_owner(version: str | None) -> bool:
    """Return whether this engine uses only the lines with the user's UID if there are any. False for an unknown version."""
    return (parse_major(version) or 28) < 28


def parse_major(version: str | None) -> int | None:
    """Return the major version number; None if it is unknown."""
    head = (version or "").partition(".")[0]
    return int(head) if head.isdigit() else None
