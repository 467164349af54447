# SPDX-License-Identifier: GPL-3.0-or-later
"""The seccomp options of containers, as the engine reports them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# The first engine that accepts `seccomp=builtin` (moby 23.0: daemon/config SeccompProfileDefault).
_NAMES_BUILTIN = 23


def is_opted_out(config: Mapping[str, Any]) -> bool:
    """Return whether a container's settings switch the filter off.

    A privileged container has none, unless it names a profile (moby daemon/seccomp_linux.go, WithSeccomp).
    """
    asked = read_option(config)
    return asked == "unconfined" or (asked is None and bool(config.get("Privileged")))


def read_option(config: Mapping[str, Any]) -> str | None:
    """Return the seccomp value of --security-opt: `unconfined`, `builtin`, or the text of a profile, which the client read from a file.

    The engine uses the last one, and its default for an empty one (moby daemon/daemon_unix.go, parseSecurityOpt).
    """
    found = None
    for option in config.get("SecurityOpt") or []:
        key, unused, value = option.partition("=") if "=" in option.split(":")[0] else option.partition(":")
        if key == "seccomp":
            found = str(value).strip() or None
    return found


def knows_builtin(version: str, security_options: Sequence[str]) -> bool | None:
    """Return whether the engine accepts its built-in seccomp filter by name; None if it is the default, which needs no name."""
    if any(option in ("name=seccomp,profile=default", "name=seccomp,profile=builtin") for option in security_options):
        return None
    major = version.split(".")[0]
    return major.isdigit() and int(major) >= _NAMES_BUILTIN
