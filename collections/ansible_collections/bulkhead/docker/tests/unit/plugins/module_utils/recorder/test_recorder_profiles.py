# SPDX-License-Identifier: GPL-3.0-or-later
"""How the recorder reloads AppArmor profiles, and what is then a gap."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import program
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.program import stop_recording

from .world import WEB, World, add_running, list_gaps, message


def test_profiles_are_loaded_anew_after_a_capability(world: World) -> None:
    found = world.start(100.0)
    found.store.profiles = ["docker-default"]
    world.audit.messages = [message(1, 50, "/a")]
    found.read_audit(110.0)
    found.check_profiles(111.0)
    assert world.refreshed == 0
    world.audit.messages = [message(2, 50, "chown")]
    found.read_audit(112.0)
    found.check_profiles(113.0)
    found.check_profiles(114.0)
    assert world.refreshed == 1
    world.audit.messages, world.problem = [message(3, 50, "chown")], "capabilities can be missing"
    found.read_audit(115.0)
    found.check_profiles(116.0)
    assert [gap["text"] for gap in found.store.gaps if gap["kind"] == "lost_messages"] == ["capabilities can be missing"]


def test_a_profile_is_reloaded_once(world: World) -> None:
    found = world.start(100.0)
    add_running(found)
    for _time in range(2):
        found.record_profile(found.store.instances[WEB])
    assert world.reloaded == ["docker-default"]
    assert list_gaps(found) == [("start_not_seen", "access")]
    found.save()
    again = world.start(200.0)
    again.record_profile(again.store.instances[WEB])
    assert world.reloaded == ["docker-default"]


@pytest.mark.parametrize("profile", ["unconfined", ""])
def test_no_profile_is_not_reloaded(world: World, profile: str) -> None:
    found = world.start(100.0)
    add_running(found, profile)
    found.record_profile(found.store.instances[WEB])
    assert world.reloaded == []


def test_a_profile_that_is_not_recorded_is_a_gap(world: World) -> None:
    found = world.start(100.0)
    add_running(found)
    world.problem = "its text is not known"
    found.record_profile(found.store.instances[WEB])
    assert [(g["kind"], g["profile"], g["text"]) for g in found.store.gaps] == [("unknown_profile", "docker-default", world.problem)]


def test_a_replaced_profile_is_reloaded_and_a_gap(world: World) -> None:
    found = world.start(100.0)
    add_running(found)
    found.record_profile(found.store.instances[WEB])
    world.replaced = ["docker-default"]
    found.check_profiles(120.0)
    assert world.reloaded == ["docker-default"] * 2
    assert ("profile_replaced", "access") in list_gaps(found)


def test_damaged_profiles_do_not_end_the_recorder(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = world.start(100.0)
    add_running(found)
    found.record_profile(found.store.instances[WEB])

    def fail(host: Host) -> list[str]:
        raise TypeError("unhashable type: 'dict'")

    monkeypatch.setattr(found, "parts", replace(found.parts, find_replaced=fail, restore_profiles=fail))
    found.check_profiles(120.0)
    assert ("profile_replaced", "access") in list_gaps(found)
    monkeypatch.setattr(program, "restore_backlog_limit", lambda host, boot: "")
    assert "is damaged (unhashable type: 'dict')" in stop_recording(world.host, found.parts)["problems"][0]
