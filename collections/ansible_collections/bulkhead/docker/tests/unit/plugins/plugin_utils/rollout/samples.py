# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds minimal plans and reports of hosts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import SWITCHES
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import decision

NOW = 1_800_000_000.0
EXPECT = {name: {"requirement": "required"} for name in SWITCHES}


def make_layer(state: str = "as desired", **more: Any) -> dict[str, Any]:
    changes = [{"summary": "set it", "path": "/etc/x"}] if state == "change" else []
    requirement = "disabled" if state == "disabled" else "required"
    return {"requirement": requirement, "applicable": True, "changes": changes, "with_engine": "", "reason": "", "blockers": [], **more}


def make_plan(containers: Any = (), **more: Any) -> dict[str, Any]:
    observed = {
        "system": {"distribution_name": "Debian 13", "kernel": "6.12"},
        "engine": {
            "installed": True,
            "running": True,
            "version": "26.1",
            "started_at": NOW - 5000,
            "containers": [{"name": name} for name in containers],
            "contents": {},
        },
        "pending": {"disk_space": {"path": "/var/lib/docker", "free": 7_000_000_000, "size": 9_000_000_000}},
    }
    affected = [effect.as_dict() for effect in more.pop("effects", ())]
    layers = {name: make_layer() for name in SWITCHES}
    return {"layers": layers, "observed": observed, "warnings": [], "notices": [], "affected": affected, **more}


def make_report(seconds_ago: float = 600, **more: Any) -> dict[str, Any]:
    layers = [{"layer": name, "status": "enforced", "requirement": "required", "evidence": []} for name in SWITCHES]
    return {
        "host": "web",
        "written": datetime.fromtimestamp(NOW - seconds_ago, UTC).isoformat(timespec="seconds"),
        "expected": decision.hash_expectations(EXPECT),
        "not_enforced": [],
        "problem": "",
        "verification": {"probe": True, "at": NOW - seconds_ago, "layers": layers, "containers": [], "findings": []},
        **more,
    }


def make_last_report(last: dict[str, Any] | None, **more: Any) -> decision.LastReport:
    return decision.LastReport(**{"report": last, "expect": EXPECT, "selected": list(SWITCHES), "minutes": 60.0, "now": NOW, **more})


def make_decision(host: str = "web", groups: Any = (), **more: Any) -> dict[str, Any]:
    return decision.decide_host(host, make_plan(**more), groups, {}, make_last_report(None))
