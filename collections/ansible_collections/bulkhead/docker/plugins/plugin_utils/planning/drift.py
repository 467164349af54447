# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the running engine (`/info`) with daemon.json, which it read at its start. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...module_utils.layers.verdict import LayerPlan

# /info's SecurityOptions lists `name=no-new-privileges` since 23.0 (moby daemon/info.go). In earlier versions its absence means nothing.
_SHOWS_NO_NEW_PRIVILEGES = 23
_PLAIN = {"default-runtime": "DefaultRuntime", "log-driver": "LoggingDriver", "live-restore": "LiveRestoreEnabled"}


def list_differing_keys(engine: Mapping[str, Any], content: Mapping[str, Any]) -> list[str]:
    """Return the keys of `content` for which the running engine reports another value, sorted; keys that it does not report are left out."""
    info = engine.get("info") or {}
    options = engine["security_options"] if "security_options" in engine else info.get("SecurityOptions")
    found = [key for key, field in _PLAIN.items() if key in content and field in info and info[field] not in (None, content[key])]
    if options is None:
        return sorted(found)
    names = {option.split(",", 1)[0] for option in options}
    shows_privileges = _parse_major(engine) >= _SHOWS_NO_NEW_PRIVILEGES
    if content.get("no-new-privileges") is True and "name=no-new-privileges" not in names and shows_privileges:
        found.append("no-new-privileges")
    if content.get("userns-remap") and "name=userns" not in names:
        found.append("userns-remap")
    profile = content.get("seccomp-profile")
    if profile and (running := parse_seccomp_profile(options)) is not None and running != profile:
        found.append("seccomp-profile")
    return sorted(found)


def parse_seccomp_profile(options: list[str]) -> str | None:
    """Return the daemon-wide profile that the engine reports (a path, `builtin`, `default`, `unconfined`); None if it reports none."""
    for option in options:
        match = re.fullmatch(r"name=seccomp,profile=(.*)", option)
        if match:
            return match[1]
    return None


def find_newer_profile(observed: Mapping[str, Any], content: Mapping[str, Any], seccomp: LayerPlan | None) -> str:
    """Return the path of the daemon-wide seccomp profile if it is newer than the running engine, or about to be written; otherwise empty."""
    path = content.get("seccomp-profile")
    if not isinstance(path, str) or not path.startswith("/"):
        return ""
    if seccomp is not None and any(change.path == path for change in seccomp.changes):
        return path
    referenced = observed["daemon_json"].get("referenced", {}).get("seccomp-profile") or {}
    started, mtime = observed["engine"].get("started_at"), referenced.get("mtime")
    if referenced.get("path") != path or not mtime or not started:
        return ""
    # The start time of a process is known to about a second (host/system.py). A time in the future would require a restart in every run.
    return path if started + 1 < mtime <= observed["at"] else ""


def _parse_major(engine: Mapping[str, Any]) -> int:
    match = re.match(r"\d+", str(engine.get("version") or ""))
    return int(match[0]) if match else 0
