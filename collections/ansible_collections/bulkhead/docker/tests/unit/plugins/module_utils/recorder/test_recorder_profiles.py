# SPDX-License-Identifier: GPL-3.0-or-later
"""How the recorder reloads AppArmor profiles, and what is then a gap."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import program
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.program import stop_recording
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.recorded_profiles import START_SECONDS

from .fake_host import WEB, FakeHost, add_running, list_gaps, message


def test_profiles_are_loaded_anew_after_a_capability(fake: FakeHost) -> None:
    found = fake.start(100.0)
    found.store.profiles = ["docker-default"]
    fake.audit.messages = [message(1, 50, "/a")]
    found.read_audit(110.0)
    found.profiles.check(111.0)
    assert fake.refreshed == 0
    fake.audit.messages = [message(2, 50, "chown")]
    found.read_audit(112.0)
    found.profiles.check(113.0)
    found.profiles.check(114.0)
    assert fake.refreshed == 1
    fake.audit.messages, fake.problem = [message(3, 50, "chown")], "capabilities can be missing"
    found.read_audit(115.0)
    found.profiles.check(116.0)
    assert [gap["text"] for gap in found.store.gaps if gap["kind"] == "lost_messages"] == ["capabilities can be missing"]


def test_a_profile_is_reloaded_once(fake: FakeHost) -> None:
    found = fake.start(100.0)
    add_running(found)
    for _time in range(2):
        found.profiles.record(found.store.instances[WEB])
    assert fake.reloaded == ["docker-default"]
    assert list_gaps(found) == [("start_not_seen", "access")]
    found.save()
    again = fake.start(200.0)
    again.profiles.record(again.store.instances[WEB])
    assert fake.reloaded == ["docker-default"]


def test_a_boot_records_the_profiles_of_the_last_one(fake: FakeHost) -> None:
    first = fake.start(100.0)
    first.store.profiles = ["docker-default", "bulkhead-web"]
    first.finish(150.0)
    fake.boot("second")
    fake.reloaded.clear()
    assert fake.start(510.0).store.profiles == ["docker-default", "bulkhead-web"]
    assert fake.reloaded == ["docker-default", "bulkhead-web"]


def test_only_containers_from_before_lack_their_start(fake: FakeHost) -> None:
    found = fake.start(100.0)
    add_running(found)
    found.store.instances[WEB].started = 100.0 + START_SECONDS
    found.profiles.record(found.store.instances[WEB])
    assert list_gaps(found) == []
    found.store.instances[WEB].started = 99.0 + START_SECONDS
    found.profiles.record(found.store.instances[WEB])
    assert [(gap["kind"], gap["from"], gap["to"]) for gap in found.store.gaps] == [("start_not_seen", 104.0, 104.0)]


def test_a_profile_is_recorded_as_soon_as_it_is_loaded(fake: FakeHost) -> None:
    fake.problem = "it is not loaded"
    found = fake.start(100.0)
    fake.audit.messages = [message(1, 50, "/a")]
    found.read_audit(101.0)
    assert fake.reloaded == ["docker-default"]
    fake.problem = ""
    text = (
        'audit(1.0:2): apparmor="STATUS" operation="profile_load" profile="unconfined" name="docker-default" pid=9 comm="apparmor_parser"'
    )
    fake.audit.messages = [(1400, text)]
    found.read_audit(102.0)
    assert (fake.reloaded, found.store.profiles) == (["docker-default"] * 2, ["docker-default"])
    fake.replaced = ["docker-default"]
    fake.audit.messages = [(1400, text.replace("profile_load", "profile_replace"))]
    found.read_audit(103.0)
    assert ("profile_replaced", "access") in list_gaps(found)
    found.read_audit(104.0)
    assert len(fake.reloaded) == 3


@pytest.mark.parametrize("profile", ["unconfined", ""])
def test_no_profile_is_not_reloaded(fake: FakeHost, profile: str) -> None:
    found = fake.start(100.0)
    add_running(found, profile)
    found.profiles.record(found.store.instances[WEB])
    assert fake.reloaded == ["docker-default"]  # when it was armed
    assert list_gaps(found) == []


def test_a_profile_that_is_not_recorded_is_a_gap(fake: FakeHost) -> None:
    fake.problem = "its text is not known"
    found = fake.start(100.0)
    add_running(found)
    found.profiles.record(found.store.instances[WEB])
    assert ("unknown_profile", "docker-default", fake.problem) in [(g["kind"], g["profile"], g["text"]) for g in found.store.gaps]


def test_a_replaced_profile_is_reloaded_and_a_gap(fake: FakeHost) -> None:
    found = fake.start(100.0)
    add_running(found)
    found.profiles.record(found.store.instances[WEB])
    fake.replaced = ["docker-default"]
    found.profiles.check(120.0)
    assert fake.reloaded == ["docker-default"] * 2
    assert ("profile_replaced", "access") in list_gaps(found)


def test_damaged_profiles_do_not_end_the_recorder(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fake.start(100.0)
    add_running(found)
    found.profiles.record(found.store.instances[WEB])

    def fail(host: Host) -> list[str]:
        raise TypeError("unhashable type: 'dict'")

    monkeypatch.setattr(found.profiles, "functions", replace(found.functions, find_replaced=fail, restore_profiles=fail))
    found.profiles.check(120.0)
    assert ("profile_replaced", "access") in list_gaps(found)
    monkeypatch.setattr(program, "restore_backlog_limit", lambda host, boot: "")
    assert "is damaged (unhashable type: 'dict')" in stop_recording(fake.host, found.profiles.functions)["problems"][0]
