# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder: its start and end, accesses, counts and gaps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import RECORDED, Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import folders, program, recorder
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.program import stop_recording
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.recorder import open_store

from .fake_host import SCOPE, SIGNALLED, WEB, FakeCounts, FakeHost, add_running, list_gaps, message, read_file, run_container


def test_a_first_start_has_no_gap(fake: FakeHost) -> None:
    found = fake.start(100.0)
    assert list_gaps(found) == []
    assert found.store.sources == {"calls": {"status": "recording", "reason": ""}, "access": {"status": "recording", "reason": ""}}
    saved = read_file(fake)
    assert (saved["recorder"]["at"], saved["recorder"]["boot_id"], saved["recorder"]["version"]) == (100.0, "first", "v1")


def test_a_killed_recorder_is_a_gap(fake: FakeHost) -> None:
    first = fake.start(100.0)
    first.collect_counts(130.0)
    first.save()
    second = fake.start(200.0)
    assert [(g["kind"], g["source"], g["from"], g["to"]) for g in second.store.gaps] == [("restarted", "access", 130.0, 200.0)]
    assert second.store.recorder["id"] == first.store.recorder["id"]


def test_pins_that_were_removed_meanwhile_are_a_gap(fake: FakeHost) -> None:
    fake.start(100.0, access=False)
    fake.host.path(f"{fake.kernel.PINS}/calls").unlink()
    assert list_gaps(fake.start(200.0, access=False)) == [("restarted", "events"), ("not_armed", "calls")]


def test_pins_that_are_removed_while_it_runs_are_a_gap(fake: FakeHost) -> None:
    found = fake.start(100.0)
    fake.host.path(f"{fake.kernel.PINS}/calls").unlink()
    found.collect_counts(130.0)
    assert [(g["kind"], g["from"], g["to"]) for g in found.store.gaps] == [("not_armed", 100.0, 130.0)]
    assert fake.kernel.is_armed()


def test_a_boot_before_all_containers_is_not_a_gap(fake: FakeHost) -> None:
    first = fake.start(100.0)
    add_running(first)
    first.store.engines[""] = 900.0  # the clock was ahead
    first.finish(150.0)
    fake.boot("second")
    second = fake.start(510.0)
    assert list_gaps(second) == []
    assert second.store.engines == {}
    assert not second.store.instances[WEB].running
    assert second.store.recorder["boot_id"] == "second"


def test_containers_that_ran_before_the_recorder_are_a_gap(fake: FakeHost) -> None:
    fake.start(100.0).finish(150.0)
    fake.boot("second")
    run_container(fake)
    assert [(g["kind"], g["from"], g["to"]) for g in fake.start(510.0).store.gaps] == [("not_armed", 500.0, 510.0)]


def test_a_power_cut_is_a_gap(fake: FakeHost) -> None:
    fake.start(100.0)
    fake.boot("second")
    assert [(g["kind"], g["source"], g["from"], g["to"]) for g in fake.start(510.0).store.gaps] == [("restarted", "calls", 100.0, 500.0)]


def test_a_kernel_that_cannot_record_is_named(fake: FakeHost) -> None:
    fake.kernel.problem = "the kernel has no BTF; use a kernel with CONFIG_DEBUG_INFO_BTF"
    found = fake.start(100.0)
    assert found.store.sources["calls"] == {"status": "unavailable", "reason": fake.kernel.problem}
    found.collect_counts(130.0)
    assert list_gaps(found) == []


def test_sources_can_be_off(fake: FakeHost) -> None:
    found = fake.start(100.0, calls=False, access=False)
    assert {name: state["status"] for name, state in found.store.sources.items()} == {"calls": "off", "access": "off"}
    assert not fake.kernel.is_armed()


def test_immutable_audit_is_a_gap(fake: FakeHost) -> None:
    fake.problem = "audit is in immutable mode"
    assert list_gaps(fake.start(100.0)) == [("audit_immutable", "access")]


def test_accesses_are_attributed_and_counted(fake: FakeHost) -> None:
    found = fake.start(100.0)
    fake.kernel.groups = {50: 7, 51: 7, 52: 8}
    fake.audit.messages = [message(1, 50, "/a"), message(2, 51, "/a"), message(3, 52, "/b"), message(4, 99, "/c")]
    found.read_audit(110.0)
    fake.kernel.counts = FakeCounts(cgroups={7: SCOPE, 8: "/system.slice/ssh.service"})
    found.collect_counts(130.0)
    access = found.store.instances[WEB].access
    assert {text: seen.count for (text, unused), seen in access.items()} == {'{"class":"file","path":"/a"}': 2}
    assert [(g["kind"], g["lost"], g["to"]) for g in found.store.gaps] == [("unknown_cgroup", 2, 130.0)]


@dataclass
class FakeCall:
    cgroup: int
    abi: str = "x86_64"
    number: int = 0
    argument: int | None = None
    count: int = 5


def test_counts_of_ended_groups_are_forgotten_when_saved(fake: FakeHost) -> None:
    run_container(fake)
    alive = fake.host.path(f"/sys/fs/cgroup{SCOPE}").stat().st_ino
    found = fake.start(100.0)
    fake.kernel.counts = FakeCounts(calls=[FakeCall(7), FakeCall(alive)], cgroups={7: f"/docker/{'b' * 64}"})
    for now in (130.0, 160.0):
        found.collect_counts(now)
        found.save()
    assert fake.kernel.forgotten == []
    fake.audit.messages = [message(number + 1, 50, "/a") for number in range(recorder.MESSAGES_AT_ONCE)]
    found.read_audit(250.0)
    found.collect_counts(250.0)  # messages that wait may be of the ended container
    found.save()
    assert fake.kernel.forgotten == []
    found.read_audit(260.0)
    found.collect_counts(260.0)
    found.save()
    found.save()
    assert fake.kernel.forgotten == [{7}]
    assert found.store.instances["b" * 64].calls["read", "x86_64", None].count == 5
    assert found.store.instances[WEB].calls["read", "x86_64", None].count == 5


def test_a_message_of_a_profile_is_of_all_its_containers(fake: FakeHost) -> None:
    found = fake.start(100.0)
    fake.audit.messages = [message(1, SIGNALLED, "/a")]
    found.read_audit(110.0)
    found.collect_counts(111.0)
    add_running(found)
    for number, (name, profile) in enumerate({"twin": "docker-default", "other": "own", "ended": "docker-default"}.items()):
        other = found.store.find_or_add(str(number) * 64, 100.0)
        other.running, other.about = name != "ended", {"name": name, "apparmor": profile}
    found.collect_counts(112.0)
    assert [i.about["name"] for i in found.store.instances.values() if i.access] == ["web", "twin"]
    assert not found.store.gaps


def test_a_message_is_of_a_container_that_has_just_ended(fake: FakeHost) -> None:
    found = fake.start(100.0)
    add_running(found)
    instance = found.store.instances[WEB]
    instance.running, instance.last = False, time.time()
    fake.audit.messages = [message(1, SIGNALLED, "/a")]
    found.read_audit(110.0)
    found.collect_counts(111.0)
    assert len(instance.access) == 1
    assert not found.store.gaps


def test_a_stop_restores_all_and_lists_it(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "restore_backlog_limit", lambda host, boot: "audit backlog limit 8192, 64 again")
    fake.start(100.0)
    fake.host.path(folders.PROFILES).mkdir()
    fake.host.path(f"{folders.PROFILES}/docker-default.original").touch()
    found = stop_recording(fake.host, fake.build_functions())
    assert found == {
        "removed": [
            "audit rules of AppArmor profile docker-default",
            "audit backlog limit 8192, 64 again",
            "/sys/fs/bpf/bulkhead/recorder/calls",
        ],
        "problems": [],
    }
    assert not fake.kernel.is_armed()


def test_a_stop_names_what_could_not_be_restored(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(host: Host, boot: str) -> str:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(program, "restore_backlog_limit", fail)
    fake.start(100.0)
    fake.host.path(folders.PROFILES).mkdir()
    fake.host.path(f"{folders.PROFILES}/docker-default.original").touch()
    fake.problem = fake.kernel.problem = "it is stuck"
    limit = "the audit backlog limit could not be restored: Operation not permitted; set it with auditctl -b"
    assert stop_recording(fake.host, fake.build_functions()) == {"removed": [], "problems": ["it is stuck", limit, "it is stuck"]}


def test_at_most_some_messages_are_read_at_once(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MESSAGES_AT_ONCE", 3)
    found = fake.start(100.0)
    fake.audit.messages = [message(number + 1, 50, "/a") for number in range(5)]
    found.read_audit(110.0)
    assert len(fake.audit.messages) == 2


def test_lost_messages_are_a_gap(fake: FakeHost) -> None:
    found = fake.start(100.0)
    fake.audit.messages = [message(1, 50, "/a"), message(11, 50, "/a")]
    found.read_audit(101.0)
    fake.lost = 5
    found.collect_counts(130.0)
    fake.audit.overruns = 1
    found.collect_counts(160.0)
    found.collect_counts(190.0)
    lost = [gap for gap in found.store.gaps if gap["kind"] == "lost_messages"]
    assert [(g["from"], g["to"], g["lost"]) for g in lost] == [(100.0, 160.0, 14)]


def test_an_overrun_counts_what_the_next_message_shows(fake: FakeHost) -> None:
    found = fake.start(100.0)
    fake.audit.messages = [message(1, 50, "/a")]
    found.read_audit(101.0)
    fake.audit.overruns = 1
    found.collect_counts(130.0)
    assert [gap["lost"] for gap in found.store.gaps if gap["kind"] == "lost_messages"] == [None]
    fake.audit.messages = [message(94_002, 50, "/a")]
    found.read_audit(140.0)
    found.collect_counts(160.0)
    assert [gap["lost"] for gap in found.store.gaps if gap["kind"] == "lost_messages"] == [94_000]


def test_a_damaged_file_is_kept_and_a_gap(fake: FakeHost) -> None:
    fake.host.path(RECORDED).write_text("{")
    store = open_store(fake.host, 100.0, "first", "v1")
    assert [gap["kind"] for gap in store.gaps] == ["restarted"]
    assert fake.host.path(f"{RECORDED}.damaged").read_text() == "{"
