# SPDX-License-Identifier: GPL-3.0-or-later
"""What gathering and judging share: the parts of an expectation, and of the evidence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# In the expectation, besides the layers: name of a container of hardened_container_list -> the settings that are required of it.
CONTAINERS = "containers"
# The layers by which every engine of a host is judged (the registry, engine_default, which is not sent for this alone).
ENGINE_DEFAULTS = frozenset({"pids_limit", "no_new_privileges", "seccomp", "apparmor", "capabilities"})
# Errors that answers of a program other than an engine can cause.
UNUSABLE_ANSWER = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


def expected_user(expect: Mapping[str, Any]) -> str:
    """Return the user whose rootless engine is expected on this host; empty for the rootful engine."""
    rootless = expect.get("rootless", {})
    return str(rootless.get("user") or "") if rootless.get("requirement", "disabled") != "disabled" else ""


def list_engines(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every Docker engine that runs on the host, as layer rootless observes it."""
    engines: list[dict[str, Any]] = evidence["observed"]["layers"].get("rootless", {}).get("engines", [])
    return engines


def keep_defaults(expect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an expectation that concerns what every engine gives its containers by default."""
    return {name: expect[name] for name in ENGINE_DEFAULTS if name in expect}
