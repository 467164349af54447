# SPDX-License-Identifier: GPL-3.0-or-later
"""The user that a value of `userns-remap` names, and how versions of the engine look for its ranges. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..host.accounts import parse_id

DEFAULT_USER = "dockremap"


def parse_remap_user(setting: str) -> tuple[str, str]:
    """Return user and group of a `userns-remap` value, `user` or `user:group`. The group is empty if none is named."""
    user, unused, group = setting.partition(":")
    return (DEFAULT_USER if user == "default" else user), group


def resolve_remap_user(setting: str, uids: Mapping[str, int], gids: Mapping[str, int]) -> tuple[str, str]:
    """Return the names of user and group, also where the value has their IDs; an ID of no account stays (moby: parseRemappedRoot).

    The group of a UID without a group is the one with the same ID. The group is empty if the value is a name alone.
    """
    user, group = parse_remap_user(setting)
    uid = parse_id(user)
    if uid is not None:
        group = group or user
        user = next((name for name, number in uids.items() if number == uid), user)
    gid = parse_id(group)
    return user, next((name for name, number in gids.items() if number == gid), group) if gid is not None else group


def prefers_numeric_owner(version: str | None) -> bool:
    """Return whether this engine uses only the lines with the user's UID if there are any. False for an unknown version."""
    return (parse_major(version) or 28) < 28


def parse_major(version: str | None) -> int | None:
    """Return the major version number; None if it is unknown."""
    head = (version or "").partition(".")[0]
    return int(head) if head.isdigit() else None
