# SPDX-License-Identifier: GPL-3.0-or-later
"""no-new-privileges for every container that does not opt out: the key `no-new-privileges` of daemon.json (since 17.06)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..registry import SWITCHES
from ..verdict import DISABLED, REQUIRED, LayerPlan
from .judge import KEY, LAYER

SWITCH = SWITCHES[LAYER]


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification requires: NoNewPrivs: 1 in /proc/PID/status."""
    return {"no_new_privs": True}


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan the key if the engine supports it. When the layer is disabled, the saved state of daemon.json removes it."""
    result = LayerPlan(LAYER, str(desired.get(SWITCH) or REQUIRED))
    if result.requirement == DISABLED:
        return result
    version = observed["engine"].get("version")
    if version and _parse_version(version) < (17, 6):
        return result.mark_unsupported(f"the engine is {version}, and {KEY} needs 17.06; update it", SWITCH)
    result.daemon_keys = {KEY: True}
    return result


def _parse_version(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
