# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of root that Bulkhead manages for a rootless engine, compared with those of the host. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ManagedFile:
    """One file of root. link: the target of a symbolic link, which it is instead."""

    path: str
    content: str = ""
    mode: int = 0o644
    link: str = ""


def parse_first_port(content: str) -> str | None:
    """Return the port that the file PORTS sets; None without one."""
    found = re.search(r"(?m)^net\.ipv4\.ip_unprivileged_port_start *= *(\d+)$", content)
    return found[1] if found else None


def list_differing(desired: list[ManagedFile], present: Mapping[str, Mapping[str, object]]) -> list[ManagedFile]:
    """Return the desired files that differ on the host. present: path -> `read_file_state`."""
    return [file for file in desired if not _is_same(file, present.get(file.path) or {})]


def _is_same(file: ManagedFile, present: Mapping[str, object]) -> bool:
    if file.link:
        return present.get("link") == file.link
    return present.get("text") == file.content and present.get("mode") == file.mode and present.get("uid") == 0 and not present.get("link")
