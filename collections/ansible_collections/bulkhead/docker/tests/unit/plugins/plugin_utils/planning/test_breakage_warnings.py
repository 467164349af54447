# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings of recorded calls that a seccomp profile denies, while it is about to change and only then."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Change, LayerPlan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import plan

FOLDER = PurePath("/etc/docker/seccomp")
WARNING = "container web: profile bulkhead-default would deny calls that it makes: ptrace (12 times)"


def record(seccomp: str, name: str = "web", running: bool = True, status: str = "recording") -> dict[str, Any]:
    calls = [{"name": name, "abi": "x86_64", "argument": None, "count": 12, "first": 1.0, "last": 2.0} for name in ("read", "ptrace")]
    instance = {"id": "1" * 64, "name": name, "running": running, "seccomp": seccomp, "capabilities": [], "calls": calls}
    return {
        "sources": {"calls": {"status": status, "reason": "" if status == "recording" else "this host has no BTF"}},
        "host": {"machine": "x86_64", "kernel": "6.12.1"},
        "instances": [instance],
    }


def find(
    recorded: Any, install: str = "", loaded: str = "bulkhead-default", container: str = "", requirement: str = "required"
) -> list[str]:
    """Return the warnings. install: the profile whose file changes. loaded: the default that the engine has now."""
    desired: dict[str, Any] = {
        "seccomp_profiles_list": [{"name": "bulkhead-default", "extends": "general"}, {"name": "web", "extends": "web"}],
        "seccomp_profiles_directory": str(FOLDER),
        "seccomp_profiles_daemon_default": "bulkhead-default",
        "hardened_container_list": [{"name": container, "seccomp_profile": "bulkhead-default"}] if container else [],
    }
    layer = LayerPlan("seccomp", requirement=requirement)
    if install:
        layer.changes.append(Change(str(FOLDER / f"{install}.json"), "install", "", "{}"))
    profile = loaded if loaded == "builtin" else str(FOLDER / f"{loaded}.json")
    engine = {"security_options": ["name=apparmor", f"name=seccomp,profile={profile}"] if loaded else None}
    return plan._find_breakage({"recorded": recorded, "engine": engine}, desired, plan.HostPlan({"seccomp": layer}))


@pytest.mark.parametrize(
    ("seccomp", "loaded"),
    [("builtin", "builtin"), ("builtin", ""), ("bulkhead-old", "bulkhead-old")],
)
def test_a_new_default_warns_although_no_file_changes(seccomp: str, loaded: str) -> None:
    assert find(record(seccomp), loaded=loaded) == [WARNING]


def test_a_changed_file_warns_of_containers_under_it() -> None:
    assert find(record("bulkhead-default"), install="bulkhead-default") == [WARNING]
    assert find(record("bulkhead-default"), install="other") == []


def test_a_new_profile_of_a_hardened_container_warns() -> None:
    assert find(record("builtin", "app"), container="app") == [WARNING.replace("web", "app", 1)]


@pytest.mark.parametrize(
    ("recorded", "values"),
    [
        (record("builtin"), {}),
        (record("bulkhead-default"), {}),
        (record("bulkhead-default", "app"), {"container": "app"}),
        (record("builtin"), {"install": "web"}),
        (record("builtin", running=False), {"loaded": "builtin"}),
        (record("builtin"), {"loaded": "builtin", "requirement": "disabled"}),
        (None, {"loaded": "builtin"}),
    ],
)
def test_nothing_is_said_while_nothing_changes(recorded: Any, values: dict[str, Any]) -> None:
    assert find(recorded, **values) == []


def test_what_is_not_recorded_is_said() -> None:
    assert find(record("builtin", status="unavailable"), loaded="builtin") == [
        "it is not known what the seccomp profile would deny to web: this host has no BTF"
    ]
