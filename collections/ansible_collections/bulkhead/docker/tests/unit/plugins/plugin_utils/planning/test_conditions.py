# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import conditions

GB = 10**9
MOVE = {"userns": LayerPlan("userns", apply={"migrate": True})}


def make_space(free: int) -> dict[str, Any]:
    return {"disk_space": {"path": "/var/lib/docker", "free": free, "size": 9 * GB}}


@pytest.mark.parametrize(
    ("pending", "layers", "text"),
    [
        ({}, {}, ""),
        ({"reboot": None, "modules": None, "replaced": False, "disk_space": None}, {}, ""),
        ({"modules": True}, {}, ""),
        ({"reboot": []}, {}, "a reboot is pending (/run/reboot-required)"),
        ({"reboot": ["libc6", "linux-image"]}, {}, "a reboot is pending for libc6, linux-image (/run"),
        ({"modules": False}, {}, "/lib/modules/6.12 does not exist"),
        ({"replaced": True}, {}, "dockerd was replaced since it started: its next restart starts another version than 26.1"),
        (make_space(6 * GB), {}, ""),
        (make_space(GB // 10), {}, "/var/lib/docker has 100 MB free, which is little"),
        (make_space(6 * GB), MOVE, ""),
        (make_space(2 * GB), MOVE, "/var/lib/docker has 2.0 GB free, and up to 3.0 GB are to be migrated"),
        (make_space(2 * GB), {"userns": LayerPlan("userns")}, ""),
    ],
)
def test_conditions_before_a_change(pending: dict[str, Any], layers: dict[str, LayerPlan], text: str) -> None:
    observed = {"system": {"kernel": "6.12"}, "engine": {"version": "26.1", "contents": {"bytes": 3 * GB}}, "pending": pending}
    found = conditions.find_warnings(observed, layers)
    assert (len(found) == 1 and found[0].startswith(text)) if text else found == []
