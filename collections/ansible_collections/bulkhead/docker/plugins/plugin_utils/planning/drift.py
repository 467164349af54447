# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the running engine contradicts the file that it was started with, or read: `/info` against daemon.json. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...module_utils.layers.verdict import LayerPlan

# `name=no-new-privileges` among /info's SecurityOptions came with 23.0 (moby daemon/info.go); before, its absence says nothing.
_SAYS_NO_NEW_PRIVILEGES = 23
_PLAIN = {"default-runtime": "DefaultRuntime", "log-driver": "LoggingDriver", "live-restore": "LiveRestoreEnabled"}


def running_differs(engine: Mapping[str, Any], content: Mapping[str, Any]) -> list[str]:
    """The keys of `content` of which the running engine itself says something else. A key that it says nothing of is not among them."""
    info = engine.get("info") or {}
    options = engine["security_options"] if "security_options" in engine else info.get("SecurityOptions")
    found = [key for key, field in _PLAIN.items() if key in content and field in info and info[field] not in (None, content[key])]
    if options is None:
        return sorted(found)
    names = {option.split(",", 1)[0] for option in options}
    if content.get("no-new-privileges") is True and "name=no-new-privileges" not in names and _major(engine) >= _SAYS_NO_NEW_PRIVILEGES:
        found.append("no-new-privileges")
    if content.get("userns-remap") and "name=userns" not in names:
        found.append("userns-remap")
    profile = content.get("seccomp-profile")
    if profile and (shown := seccomp_profile(options)) is not None and shown != profile:
        found.append("seccomp-profile")
    return sorted(found)


def seccomp_profile(options: list[str]) -> str | None:
    """The daemon-wide profile that the running engine shows (a path, `builtin`, `default`, `unconfined`); None when it shows none."""
    for option in options:
        match = re.fullmatch(r"name=seccomp,profile=(.*)", option)
        if match:
            return match[1]
    return None


def profile_is_newer(observed: Mapping[str, Any], content: Mapping[str, Any], seccomp: LayerPlan | None) -> str:
    """The daemon-wide seccomp profile's path when it is newer than the running engine, or about to be written; otherwise empty."""
    path = content.get("seccomp-profile")
    if not isinstance(path, str) or not path.startswith("/"):
        return ""
    if seccomp is not None and any(change.path == path for change in seccomp.changes):
        return path
    referenced = observed["daemon_json"].get("referenced", {}).get("seccomp-profile") or {}
    started, mtime = observed["engine"].get("started_at"), referenced.get("mtime")
    if referenced.get("path") != path or not mtime or not started:
        return ""
    # The start time of a process is known to about a second (host/system.py). A time in the future would be newer for ever.
    return path if started + 1 < mtime <= observed["at"] else ""


def _major(engine: Mapping[str, Any]) -> int:
    match = re.match(r"\d+", str(engine.get("version") or ""))
    return int(match[0]) if match else 0
