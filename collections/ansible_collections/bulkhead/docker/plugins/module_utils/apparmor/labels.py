# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the AppArmor labels of processes. Control node only."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """The content of /proc/PID/attr/current: the profile (several joined by `//&` if stacked) and its mode.

    parts: name and mode of each profile of a stack; the mode is empty where the kernel shows one mode for the stack, and it is `mixed`.
    """

    name: str
    mode: str
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def is_confined(self) -> bool:
        """Return whether a profile enforces or logs; one with flags=(unconfined) has a name and confines nothing."""
        return self.mode != "unconfined"

    @property
    def profiles(self) -> tuple[str, ...]:
        return tuple(self.name.split("//&"))


def parse_label(text: str) -> Label:
    """Parse `docker-default (enforce)`, `runc (unconfined)`, `unconfined`, `a//&:ns:b (enforce)`, or a stack with a mode per part.

    Linux writes one mode behind a stack: `mixed` if its parts differ, without regard to the unconfined profile of a namespace
    (security/apparmor/label.c, label_modename). Up to 5.16 it wrote `-` for profiles with flags=(unconfined). Raises ValueError for another
    text.
    """
    text = text.strip("\0\n ")
    if text == "unconfined":
        return Label("unconfined", "unconfined", (("unconfined", "unconfined"),))
    matches = [match for part in text.split("//&") if (match := re.fullmatch(r"(.+?)(?: \((\w+|-)\))?", part))]
    if not text or len(matches) != text.count("//&") + 1:
        raise ValueError(f"{text!r} is not an AppArmor label")
    parts = [(match[1], "unconfined" if match[2] == "-" else match[2] or "") for match in matches]
    given = [mode for _name, mode in parts if mode]
    if not given and any(not is_unconfined_name(name) for name, _mode in parts):
        raise ValueError(f"{text!r} is an AppArmor label without a mode")
    whole = given[0] if len(given) == 1 and parts[-1][1] else ""
    shared = "" if whole == "mixed" else whole
    parts = [(name, "unconfined" if is_unconfined_name(name) else shared if whole else mode) for name, mode in parts]
    modes = {mode for _name, mode in parts if mode}
    mode = whole or (modes.pop() if len(modes) == 1 else "mixed")
    return Label("//&".join(name for name, _mode in parts), mode, tuple(parts))


def is_unconfined_name(name: str) -> bool:
    """Return whether a part of a label is the unconfined profile of a policy namespace: `unconfined`, `:ns:unconfined`."""
    return re.fullmatch(r"(:[^:]*:(//)?)?unconfined", name) is not None
