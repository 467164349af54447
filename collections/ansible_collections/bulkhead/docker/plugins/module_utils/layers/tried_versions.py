# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions that were tried, oldest and newest, and whether those of a host are among them. Control node only.

docs/support.md has the same table: scripts/tried_page.py writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

# Debian 12 and forky are the oldest and the newest suite of the lab. CI runs both.
_OLDEST, _NEWEST, _BY_HAND = "Debian 12", "Debian forky", "Debian 13, by hand"


class Tried(NamedTuple):
    """One component. Where: the system on which that version was tried."""

    name: str
    title: str
    oldest: str
    oldest_where: str
    newest: str
    newest_where: str


TRIED = (
    Tried("engine", "Docker Engine", "20.10.24", _OLDEST, "29.7.2", _BY_HAND),
    Tried("containerd", "containerd", "1.6.20", _OLDEST, "2.3.4", _BY_HAND),
    Tried("runc", "runc", "1.1.5", _OLDEST, "1.4.3", _BY_HAND),
    Tried("crun", "crun", "1.21", _BY_HAND, "1.21", _BY_HAND),
    Tried("libseccomp", "libseccomp", "2.5.4", _OLDEST, "2.6.1", _NEWEST),
    Tried("apparmor", "AppArmor", "3.0.8", _OLDEST, "4.1.8", _NEWEST),
    Tried("kernel", "Linux", "6.1", _OLDEST, "7.2", _NEWEST),
    Tried("systemd", "systemd", "252", _OLDEST, "262", _NEWEST),
)
# Further numbers are corrections of the same version. For systemd, that is already the second one.
_NUMBERS = 2


def list_untried(versions: Mapping[str, str]) -> list[str]:
    """Return a message for each component whose version is outside of what was tried. versions: as read_versions in host/versions.py."""
    found = []
    for row in TRIED:
        version = _parse(versions.get(row.name, ""))
        if not version:
            continue
        if version < _parse(row.oldest)[: len(version)]:
            found.append(f"{row.title} {versions[row.name]} is older than {row.oldest}, the oldest that was tried")
        elif version[: len(_parse(row.newest))] > _parse(row.newest):
            found.append(f"{row.title} {versions[row.name]} is newer than {row.newest}, the newest that was tried")
    return found


def _parse(version: str) -> tuple[int, ...]:
    """Return the first numbers of a version; empty if it does not begin with one."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in match[1].split(".")[:_NUMBERS]) if match else ()
