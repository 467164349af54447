# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the kernel logs what a filter denies: what the engine and its runtimes can ask for, and what the kernel shows. Pure.

An errno of a filter is logged only if the filter was loaded with SECCOMP_FILTER_FLAG_LOG (man 2 seccomp). A profile asks for it with `flags`. Engines
before 23.0 ignore the key (moby profiles/seccomp). runc before 1.2 starts no container then: "seccomp flags are not yet supported by runc" (runc 1.1:
libcontainer/specconv/spec_linux.go).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...seccomp.compose import LOGGING
from ...seccomp.encoding import decode_flags
from ..verdict import DEGRADED, UNKNOWN, Verdict

FLAG = "SECCOMP_FILTER_FLAG_LOG"
_LOG = 2  # SECCOMP_FILTER_FLAG_LOG (linux/seccomp.h)
_KNOWS_FLAGS = 23
# Where engines from 25.0 on show what a runtime can do (moby daemon/info_unix.go; runtime-spec features.md).
_FEATURES = "org.opencontainers.runtime-spec.features"


class Obstacle(NamedTuple):
    """Why profiles of a host cannot ask for logging. is_fatal: no container would start under one that does."""

    reason: str
    is_fatal: bool


def find_logging_obstacle(engine: Mapping[str, Any]) -> Obstacle | None:
    """Return why profiles of this engine do not ask for logging; None if every runtime of the engine can.

    Any container can be started with any of the runtimes. engine: as `observe_engine` returns it.
    """
    version = re.match(r"\d+", str(engine.get("version") or ""))
    if not version:
        return Obstacle("the engine does not run, so it is not known whether its runtimes support that; run this again once it runs", False)
    if int(version[0]) < _KNOWS_FLAGS:
        return Obstacle(f"engine {engine['version']} ignores flags of profiles; 23.0 is needed", False)
    found: list[Obstacle] = []
    for name, runtime in sorted((engine.get("runtimes") or {}).items()):
        flags, release = _read_features(runtime)
        if flags is None:
            found.append(
                Obstacle(f"the engine does not report which flags runtime {name} supports (engine 25.0 with runc reports it)", False)
            )
        elif not set(LOGGING) <= set(flags):
            return Obstacle(f"runtime {name}{f' {release}' if release else ''} does not support {FLAG}; runc 1.2 is needed", True)
    if not engine.get("runtimes"):
        found.append(Obstacle("the engine reports no runtime", False))
    return found[0] if found else None


def _read_features(runtime: Any) -> tuple[list[str] | None, str]:
    """Return the filter flags that a runtime supports, and its version; None if it does not report them. crun 1.21 does not, and supports LOG."""
    try:
        features = json.loads(runtime["status"][_FEATURES])
        notes = features.get("annotations") or {}
        release = next((str(text) for key, text in notes.items() if key.endswith((".runc.version", ".crun.version"))), "")
        reported = features["linux"]["seccomp"]
        if any(key.endswith(".crun.version") for key in notes):
            return list(reported["supportedFlags"]), release
        return list(reported.get("supportedFlags") or ()), release
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, ""


def asks_for_logging(text: str | None) -> bool:
    """Return whether a profile asks the kernel to log its denials."""
    try:
        profile = json.loads(text or "{}")
    except ValueError:
        return False
    return isinstance(profile, dict) and FLAG in (profile.get("flags") or ())


def resolve_daemon_profile(desired: Mapping[str, Any] | None, engine: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the expected daemon-wide profile as this host has it. engine: as `observe_engine` returns it.

    sha256: of the file, with or without flags. logs: whether it asks for logging. cannot_log: why it does not, although that is desired.
    """
    if not desired:
        return None
    logging_hash = desired.get("logging_sha256")
    obstacle = find_logging_obstacle(engine) if logging_hash else None
    return {
        **desired,
        "sha256": logging_hash if logging_hash and not obstacle else desired["sha256"],
        "logs": bool(logging_hash and not obstacle) or asks_for_logging(desired.get("content")),
        "cannot_log": obstacle.reason if obstacle else "",
    }


def judge_logging(verdict: Verdict, texts: Sequence[str], pid: int, who: str, name: str) -> None:
    """Judge whether the kernel logs what the engine's filter of a process denies, as its profile asks.

    texts: of its filters, the oldest first, which is the engine's. name: of the profile.
    """
    flags = decode_flags(texts[:1])
    source = f"PTRACE_SECCOMP_GET_METADATA of {pid}"
    if not flags or flags[0] is None:
        text = f"the kernel does not show whether it logs what the filter of {who} denies ({source})"
        verdict.add_finding("logging_unread", text, UNKNOWN)
        return
    verdict.add_evidence(source, FLAG if flags[0] & _LOG else "no flag")
    if not flags[0] & _LOG:
        text = f"{name} asks for logging of denials, but the kernel does not log those of {who}"
        verdict.add_finding("not_logged", text, DEGRADED, "restart the engine, so that it reads the profile; then restart the container")
