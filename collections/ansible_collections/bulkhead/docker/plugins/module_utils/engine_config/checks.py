# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds errors in daemon.json that `dockerd --validate` misses and that break its start or every `docker run` (moby 20.10 to 28.5).

Every function returns error messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..host.root import Host
from .keys import LOG_OPTS, LOG_OPTS_EVERYWHERE, STORAGE_DRIVERS, TYPES

_WRITE_INSTEAD = {
    "boolean": "true or false, without quotes",
    "text": "a text in double quotes",
    "number": "a whole number, without quotes",
    "list": 'a list, as in ["a", "b"]',
    "object": 'an object, as in {"a": "b"}',
}


def check_content(content: Mapping[str, Any], host: Host, path: str) -> list[str]:
    """Run all checks of this module on the content of one daemon.json. path: its path, for messages and the owner's rights."""
    errors = check_types(content, path)
    if errors:
        return errors
    return [
        *check_seccomp_profile(content, host, path),
        *check_log_options(content, path),
        *check_storage_driver(content, path),
        *check_default_runtime(content, host, path),
    ]


def check_types(content: Mapping[str, Any], path: str) -> list[str]:
    """Find values of the wrong type. Unknown keys are left to the engine. It takes null as a value of every type (Go's json.Unmarshal)."""
    found = []
    for key, value in content.items():
        desired = TYPES.get(key)
        if desired and value is not None and not _has_type(value, desired):
            found.append(f"{path}: {key}: {_shorten(value)} has the wrong type; write {_WRITE_INSTEAD[desired]}")
    return found


def _has_type(value: Any, desired: str) -> bool:
    if desired == "number":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"boolean": bool, "text": str, "list": list, "object": dict}[desired])


def check_seccomp_profile(content: Mapping[str, Any], host: Host, path: str) -> list[str]:
    """Return a message if the profile is missing (the engine does not start) or malformed (every `docker run` fails)."""
    profile = content.get("seccomp-profile", "")
    if not profile or profile in ("builtin", "unconfined", "default"):
        return []
    try:
        text = host.read(profile, user=host.find_owner(path))  # a user's daemon.json may name any file
    except OSError as error:
        return [f"{path}: seccomp-profile: {profile} cannot be read ({error.strerror}); name a readable file"]
    if text is None:
        return [f"{path}: seccomp-profile: {profile} does not exist; install the profile first, or remove the key"]
    try:
        parsed = json.loads(text)
    except ValueError as error:
        return [f"{path}: seccomp-profile: {profile} is not valid JSON ({error}); every docker run would fail; correct the profile"]
    except RecursionError:
        return [f"{path}: seccomp-profile: {profile} is nested too deeply; every docker run would fail; correct the profile"]
    if not isinstance(parsed, dict) or not parsed.get("defaultAction"):
        return [
            f"{path}: seccomp-profile: {profile} has no defaultAction, so it filters nothing or breaks every docker run; correct the profile"
        ]
    return []


def check_log_options(content: Mapping[str, Any], path: str) -> list[str]:
    """Return a message per unknown option of the log driver and per value that is not a text: the engine does not start."""
    driver = content.get("log-driver") or "json-file"
    options = content.get("log-opts") or {}
    found = [
        f'{path}: log-opts.{name}: {_shorten(value)} is not a text; write "{value if not isinstance(value, bool) else str(value).lower()}"'
        for name, value in options.items()
        if not isinstance(value, str)
    ]
    if driver in LOG_OPTS:
        allowed = LOG_OPTS[driver] | LOG_OPTS_EVERYWHERE
        found += [
            f"{path}: log-opts.{name}: is not an option of the log driver {driver}; it has {', '.join(sorted(LOG_OPTS[driver]))}"
            for name in options
            if name not in allowed
        ]
    return found


def check_storage_driver(content: Mapping[str, Any], path: str) -> list[str]:
    """Return a message for an unknown storage driver. In containerd's image store it is a snapshotter, and any name is possible."""
    driver = content.get("storage-driver", "")
    if not driver or driver in STORAGE_DRIVERS or (content.get("features") or {}).get("containerd-snapshotter"):
        return []
    if driver == "overlayfs":  # the snapshotter's name, the default image store since 29.0
        return []
    return [f"{path}: storage-driver: {driver} is not a storage driver; write overlay2, the usual one"]


def check_default_runtime(content: Mapping[str, Any], host: Host, path: str) -> list[str]:
    """Return a message unless the runtime is runc, a containerd shim by its full name, or in `runtimes` and installed."""
    name = content.get("default-runtime", "")
    runtimes = content.get("runtimes") or {}
    if not name or name == "runc" or name.startswith(("io.containerd.", "/")):
        return []
    if name not in runtimes:
        return [f"{path}: default-runtime: {name} is not in runtimes; register it there, or remove the key"]
    program = (runtimes[name] or {}).get("path", "") if isinstance(runtimes[name], dict) else ""
    if program.startswith("/") and not host.path(program).exists():
        return [f"{path}: runtimes.{name}.path: {program} does not exist, and it is the default runtime; install it first"]
    return []


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
