# SPDX-License-Identifier: GPL-3.0-or-later
"""Which profiles limit generated ones: those under which the service was recorded, never the generated ones themselves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.profile import parse_profile
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.base_choice import (
    choose_apparmor_base,
    choose_seccomp_base,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import RecorderEntry, Recording, Usage
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.seccomp_base import ENGINE_DEFAULT, find_excess, get_engine_default

from .samples import make_configuration

OWN = "recorded-shop-web"
PROFILES = {"bulkhead-default": "{}", OWN: "{}"}


def make(*used: tuple[str, str, str], running: tuple[str, ...] = ()) -> Recording:
    """Return a recording of configurations: seccomp profile, AppArmor profile and last day."""
    configurations = {str(n): make_configuration(seccomp=seccomp, apparmor=apparmor) for n, (seccomp, apparmor, unused) in enumerate(used)}
    usages = {str(n): Usage("2026-11-01", last) for n, (unused, unused, last) in enumerate(used)}
    recorder = RecorderEntry("a", "1", "t", "t", {}, {}, configurations=usages, running=frozenset(running))
    return Recording("shop-web", {recorder.key: recorder}, configurations)


@pytest.mark.parametrize(
    ("used", "running", "expected"),
    [
        ([], (), ENGINE_DEFAULT),
        ([("builtin", "", "2026-11-02")], (), ENGINE_DEFAULT),
        ([("bulkhead-default", "", "2026-11-02")], ("0",), "bulkhead-default"),
        ([("bulkhead-default", "", "2026-11-02"), (OWN, "", "2026-11-09")], ("1",), "bulkhead-default"),
        ([(OWN, "", "2026-11-09")], ("0",), ENGINE_DEFAULT),
        ([("builtin", "", "2026-11-02"), ("bulkhead-default", "", "2026-11-05")], (), "bulkhead-default"),
        ([("bulkhead-default", "", "2026-11-02"), ("builtin", "", "2026-11-05")], ("0",), "bulkhead-default"),
        ([("mine", "", "2026-11-05"), ("unconfined", "", "2026-11-06")], (), ENGINE_DEFAULT),
    ],
)
def test_base_of_seccomp(used: Any, running: tuple[str, ...], expected: str) -> None:
    assert choose_seccomp_base(make(*used, running=running), PROFILES).name == expected


def test_base_of_apparmor() -> None:
    entry = {"name": "bulkhead-web", "extends": "web"}
    recording = make(("", "bulkhead-web", "2026-11-02"), ("", OWN, "2026-11-09"), running=("1",))
    assert choose_apparmor_base(recording, [entry, {"name": OWN}]) == entry
    assert choose_apparmor_base(make(("", "docker-default", "2026-11-02")), [entry]) is None
    assert choose_apparmor_base(make(), [entry]) is None


@pytest.mark.parametrize(("more", "excess"), [({}, []), ({"allow": ["socket", "io_uring_setup"]}, ["io_uring_setup", "socket"])])
@pytest.mark.parametrize("preset", PRESETS)
def test_ready_profiles_stay_within_the_newest_default(preset: str, more: dict[str, Any], excess: list[str]) -> None:
    """They allow nothing that the newest engine's default denies, with any capabilities."""
    profile = parse_profile(format_profile(compose_profile(PRESETS[preset], **more)), preset)
    found = find_excess(profile, get_engine_default())
    assert [name for name in found if name != "arch_prctl"] == excess  # of arm64, which has no such call in any ABI
