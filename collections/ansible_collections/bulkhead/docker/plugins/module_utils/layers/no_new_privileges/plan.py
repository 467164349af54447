# SPDX-License-Identifier: GPL-3.0-or-later
"""no-new-privileges for every container that does not opt out: the key `no-new-privileges` of daemon.json (since 17.06)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..verdict import DISABLED, REQUIRED, LayerPlan

LAYER = "no_new_privileges"
KEY = "no-new-privileges"


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """What verification demands: NoNewPrivs: 1 in /proc/PID/status."""
    return {"no_new_privs": True}


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """The key, where the engine can take it. Dropping it when the layer is disabled follows from what we remember of daemon.json."""
    result = LayerPlan(LAYER, str(desired.get("docker_daemon_no_new_privileges_layer") or REQUIRED))
    if result.requirement == DISABLED:
        return result
    version = observed["engine"].get("version")
    if version and _numbers(version) < (17, 6):
        return result.cannot(
            f"the engine is {version}, and {KEY} came with 17.06; update it, or set docker_daemon_no_new_privileges_layer: optional"
        )
    result.daemon_keys = {KEY: True}
    return result


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
