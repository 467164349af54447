# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder with a kernel, profiles and engines that tests control."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.messages import Message
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import engines, folders, program, recorder
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.events import Event
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.parts import Parts
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.pins import RecorderError
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.program import stop_recording
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.recorder import Recorder, open_store

WEB = "a" * 64
SCOPE = f"/system.slice/docker-{WEB}.scope"
SIGNALLED = 77  # a process whose message is about another one
SETTINGS = {"calls": True, "access": True, "users": [], "socket": "/no/such.sock", "version": "v1"}


@dataclass
class FakeCounts:
    calls: list[Any] = field(default_factory=list)
    denied: list[Any] = field(default_factory=list)
    cgroups: dict[int, str] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


class FakeKernel:
    """The kernel part: pins are files of a host's folder."""

    PINS = "/sys/fs/bpf/bulkhead/recorder"

    def __init__(self, host: Host, problem: str = "") -> None:
        self.host, self.problem = host, problem
        self.counts = FakeCounts()
        self.groups: dict[int, int] = {}
        self.forgotten: list[set[int]] = []

    def arm(self) -> None:
        if self.problem:
            raise RecorderError(self.problem)
        self.host.path(self.PINS).mkdir(parents=True, exist_ok=True)
        self.host.path(f"{self.PINS}/calls").touch()

    def is_armed(self) -> bool:
        return self.host.path(f"{self.PINS}/calls").exists()

    def read_counts(self) -> FakeCounts:
        return self.counts

    def forget_cgroups(self, groups: Collection[int]) -> None:
        self.forgotten.append(set(groups))

    def disarm(self) -> None:
        if self.problem:
            raise RecorderError(self.problem)
        shutil.rmtree(self.host.path(self.PINS))

    def find_cgroup_of(self, pid: int) -> int | None:
        return self.groups.get(pid)


@dataclass
class FakeReload:
    profile: str
    problem: str = ""


class FakeAudit:
    """Messages that a test sends."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str]] = []
        self.overruns = 0

    def read(self, limit: int) -> list[tuple[int, str]]:
        found, self.messages = self.messages[:limit], self.messages[limit:]
        return found


@dataclass
class World:
    """One host over several runs of the recorder."""

    host: Host
    kernel: FakeKernel
    audit: FakeAudit = field(default_factory=FakeAudit)
    reloaded: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    refreshed: int = 0
    problem: str = ""
    lost: int = 0

    def start(self, now: float, **settings: Any) -> Recorder:
        found = Recorder(self.host, {**SETTINGS, **settings}, self.build_parts())
        found.start(now)
        return found

    def build_parts(self) -> Parts:
        names = ("arm", "disarm", "is_armed", "read_counts", "forget_cgroups", "find_cgroup_of")
        return Parts(
            **{name: getattr(self.kernel, name) for name in names},
            record_profile=self._record,
            find_replaced=lambda unused: self.replaced,
            refresh_profiles=self._refresh,
            restore_profiles=self._restore,
            parse_access=self._parse,
        )

    def _record(self, host: Host, name: str) -> FakeReload:
        self.reloaded.append(name)
        return FakeReload(name, self.problem)

    def _refresh(self, host: Host) -> list[str]:
        self.refreshed += 1
        return [self.problem] if self.problem else []

    def _restore(self, host: Host) -> list[str]:
        if self.problem:
            return [self.problem]
        for path in host.path(folders.PROFILES).iterdir():
            path.unlink()
        return []

    def _parse(self, message: Message) -> tuple[dict[str, Any], bool, int] | None:
        pid = int(message.fields["pid"])
        if message.fields["name"] == "chown":
            return {"class": "capability", "name": "chown"}, False, pid
        return {"class": "file", "path": message.fields["name"]}, False, 0 if pid == SIGNALLED else pid

    def boot(self, name: str) -> None:
        self.host.path("/proc/sys/kernel/random/boot_id").write_text(f"{name}\n")
        pin = self.host.path(f"{self.kernel.PINS}/calls")
        pin.unlink(missing_ok=True)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    host = Host(tmp_path)
    for path, text in (
        ("/proc/sys/kernel/random/boot_id", "first\n"),
        ("/proc/stat", "btime 500\n"),
        ("/sys/module/apparmor/parameters/enabled", "Y\n"),
        ("/var/lib/bulkhead/recorder/settings.json", "{}"),
    ):
        host.path(path).parent.mkdir(parents=True, exist_ok=True)
        host.path(path).write_text(text)
    made = World(host, FakeKernel(host))
    monkeypatch.setattr(recorder, "AuditStream", lambda: made.audit)
    monkeypatch.setattr(recorder, "raise_backlog_limit", lambda host, boot: made.problem)
    monkeypatch.setattr(recorder, "request_status", lambda: {"lost": made.lost})
    return made


def read_file(world: World) -> dict[str, Any]:
    return dict(json.loads(world.host.path(folders.RECORDED).read_text()))


def list_gaps(found: Recorder) -> list[tuple[str, str]]:
    return [(gap["kind"], gap["source"]) for gap in found.store.gaps]


def add_running(found: Recorder, profile: str = "docker-default") -> None:
    instance = found.store.find_or_add(WEB, 100.0)
    instance.running, instance.about = True, {"name": "web", "apparmor": profile}


def run_container(world: World) -> None:
    world.host.path(f"/sys/fs/cgroup{SCOPE}").mkdir(parents=True)


def test_a_first_start_has_no_gap(world: World) -> None:
    found = world.start(100.0)
    assert list_gaps(found) == []
    assert found.store.sources == {"calls": {"status": "recording", "reason": ""}, "access": {"status": "recording", "reason": ""}}
    saved = read_file(world)
    assert (saved["recorder"]["at"], saved["recorder"]["boot_id"], saved["recorder"]["version"]) == (100.0, "first", "v1")


def test_a_killed_recorder_is_a_gap(world: World) -> None:
    first = world.start(100.0)
    first.dump(130.0)
    first.save()
    second = world.start(200.0)
    assert [(g["kind"], g["source"], g["from"], g["to"]) for g in second.store.gaps] == [("restarted", "access", 130.0, 200.0)]
    assert second.store.recorder["id"] == first.store.recorder["id"]


def test_pins_that_were_removed_meanwhile_are_a_gap(world: World) -> None:
    world.start(100.0, access=False)
    world.host.path(f"{world.kernel.PINS}/calls").unlink()
    assert list_gaps(world.start(200.0, access=False)) == [("restarted", "events"), ("not_armed", "calls")]


def test_pins_that_are_removed_while_it_runs_are_a_gap(world: World) -> None:
    found = world.start(100.0)
    world.host.path(f"{world.kernel.PINS}/calls").unlink()
    found.dump(130.0)
    assert [(g["kind"], g["from"], g["to"]) for g in found.store.gaps] == [("not_armed", 100.0, 130.0)]
    assert world.kernel.is_armed()


def test_a_boot_before_all_containers_is_not_a_gap(world: World) -> None:
    first = world.start(100.0)
    add_running(first)
    first.finish(150.0)
    world.boot("second")
    second = world.start(510.0)
    assert list_gaps(second) == []
    assert not second.store.instances[WEB].running
    assert second.store.recorder["boot_id"] == "second"


def test_containers_that_ran_before_the_recorder_are_a_gap(world: World) -> None:
    world.start(100.0).finish(150.0)
    world.boot("second")
    run_container(world)
    assert [(g["kind"], g["from"], g["to"]) for g in world.start(510.0).store.gaps] == [("not_armed", 500.0, 510.0)]


def test_a_power_cut_is_a_gap(world: World) -> None:
    world.start(100.0)
    world.boot("second")
    assert [(g["kind"], g["source"], g["from"], g["to"]) for g in world.start(510.0).store.gaps] == [("restarted", "calls", 100.0, 500.0)]


def test_a_kernel_that_cannot_record_is_named(world: World) -> None:
    world.kernel.problem = "the kernel has no BTF; use a kernel with CONFIG_DEBUG_INFO_BTF"
    found = world.start(100.0)
    assert found.store.sources["calls"] == {"status": "unavailable", "reason": world.kernel.problem}
    found.dump(130.0)
    assert list_gaps(found) == []


def test_sources_can_be_off(world: World) -> None:
    found = world.start(100.0, calls=False, access=False)
    assert {name: state["status"] for name, state in found.store.sources.items()} == {"calls": "off", "access": "off"}
    assert not world.kernel.is_armed()


def test_immutable_audit_is_a_gap(world: World) -> None:
    world.problem = "audit is in immutable mode"
    assert list_gaps(world.start(100.0)) == [("audit_immutable", "access")]


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


def message(serial: int, pid: int, path: str) -> tuple[int, str]:
    return 1400, f'audit(1.0:{serial}): apparmor="AUDIT" profile="docker-default" name="{path}" pid={pid}'


def test_accesses_are_attributed_and_counted(world: World) -> None:
    found = world.start(100.0)
    world.kernel.groups = {50: 7, 51: 7, 52: 8}
    world.audit.messages = [message(1, 50, "/a"), message(2, 51, "/a"), message(3, 52, "/b"), message(4, 99, "/c")]
    found.read_audit(110.0)
    world.kernel.counts = FakeCounts(cgroups={7: SCOPE, 8: "/system.slice/ssh.service"})
    found.dump(130.0)
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


def test_counts_of_ended_groups_are_forgotten_when_saved(world: World) -> None:
    run_container(world)
    alive = world.host.path(f"/sys/fs/cgroup{SCOPE}").stat().st_ino
    found = world.start(100.0)
    world.kernel.counts = FakeCounts(calls=[FakeCall(7), FakeCall(alive)], cgroups={7: f"/docker/{'b' * 64}"})
    for now in (130.0, 160.0):
        found.dump(now)
        found.save()
    assert world.kernel.forgotten == []
    world.audit.messages = [message(number + 1, 50, "/a") for number in range(recorder.MESSAGES_AT_ONCE)]
    found.read_audit(250.0)
    found.dump(250.0)  # messages that wait may be of the ended container
    found.save()
    assert world.kernel.forgotten == []
    found.read_audit(260.0)
    found.dump(260.0)
    found.save()
    found.save()
    assert world.kernel.forgotten == [{7}]
    assert found.store.instances["b" * 64].calls["read", "x86_64", None].count == 5
    assert found.store.instances[WEB].calls["read", "x86_64", None].count == 5


def test_a_message_about_another_process_needs_its_profile(world: World) -> None:
    found = world.start(100.0)
    add_running(found)
    world.audit.messages = [message(1, SIGNALLED, "/a")]
    found.read_audit(110.0)
    assert len(found.store.instances[WEB].access) == 1
    other = found.store.find_or_add("b" * 64, 100.0)
    other.running, other.about = True, {"name": "other", "apparmor": "docker-default"}
    world.audit.messages = [message(2, SIGNALLED, "/b")]
    found.read_audit(110.0)
    found.dump(130.0)
    assert [(g["kind"], g["lost"]) for g in found.store.gaps] == [("unknown_cgroup", 1)]


def test_a_stop_restores_all_and_lists_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "restore_backlog_limit", lambda host, boot: "audit backlog limit 8192, 64 again")
    world.start(100.0)
    world.host.path(folders.PROFILES).mkdir()
    world.host.path(f"{folders.PROFILES}/docker-default.original").touch()
    found = stop_recording(world.host, world.build_parts())
    assert found == {
        "removed": [
            "audit rules of AppArmor profile docker-default",
            "audit backlog limit 8192, 64 again",
            "/sys/fs/bpf/bulkhead/recorder/calls",
        ],
        "problems": [],
    }
    assert not world.kernel.is_armed()


def test_a_stop_names_what_could_not_be_restored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(host: Host, boot: str) -> str:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(program, "restore_backlog_limit", fail)
    world.start(100.0)
    world.host.path(folders.PROFILES).mkdir()
    world.host.path(f"{folders.PROFILES}/docker-default.original").touch()
    world.problem = world.kernel.problem = "it is stuck"
    limit = "the audit backlog limit could not be restored: Operation not permitted; set it with auditctl -b"
    assert stop_recording(world.host, world.build_parts()) == {"removed": [], "problems": ["it is stuck", limit, "it is stuck"]}


def test_at_most_some_messages_are_read_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MESSAGES_AT_ONCE", 3)
    found = world.start(100.0)
    world.audit.messages = [message(number + 1, 50, "/a") for number in range(5)]
    found.read_audit(110.0)
    assert len(world.audit.messages) == 2


def test_lost_messages_are_a_gap(world: World) -> None:
    found = world.start(100.0)
    world.audit.messages = [message(1, 50, "/a"), message(11, 50, "/a")]
    found.read_audit(101.0)
    world.lost = 5
    found.dump(130.0)
    world.audit.overruns = 1
    found.dump(160.0)
    found.dump(190.0)
    lost = [gap for gap in found.store.gaps if gap["kind"] == "lost_messages"]
    assert [(g["from"], g["to"], g["lost"]) for g in lost] == [(100.0, 160.0, 14)]


def test_an_overrun_counts_what_the_next_message_shows(world: World) -> None:
    found = world.start(100.0)
    world.audit.messages = [message(1, 50, "/a")]
    found.read_audit(101.0)
    world.audit.overruns = 1
    found.dump(130.0)
    assert [gap["lost"] for gap in found.store.gaps if gap["kind"] == "lost_messages"] == [None]
    world.audit.messages = [message(94_002, 50, "/a")]
    found.read_audit(140.0)
    found.dump(160.0)
    assert [gap["lost"] for gap in found.store.gaps if gap["kind"] == "lost_messages"] == [94_000]


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


def test_a_damaged_file_is_kept_and_a_gap(world: World) -> None:
    world.host.path(folders.RECORDED).write_text("{")
    store = open_store(world.host, 100.0, "first", "v1")
    assert [gap["kind"] for gap in store.gaps] == ["restarted"]
    assert world.host.path(f"{folders.RECORDED}.damaged").read_text() == "{"


class FakeApi:
    """Answers of an engine by path."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def get(self, path: str, **unused: Any) -> Any:
        return self.answers[path]

    def get_within(self, patience: float, path: str) -> Any:
        return self.answers[path]

    def close(self) -> None:
        pass


@pytest.fixture
def inspect(world: World) -> dict[str, Any]:
    folder = world.host.path("/proc/50")
    (folder / "attr").mkdir(parents=True)
    (folder / "cgroup").write_text(f"0::{SCOPE}\n")
    (folder / "status").write_text("Seccomp:\t2\n")
    (folder / "attr/current").write_text("docker-default (enforce)\n")
    run_container(world)
    world.host.path(f"/sys/fs/cgroup{SCOPE}/pids.peak").write_text("4\n")
    state = {"Pid": 50, "StartedAt": "1970-01-01T00:01:00Z"}
    return {"Id": WEB, "Name": "/web", "State": state, "Config": {"Image": "shop:1", "Healthcheck": {"Test": ["CMD", "check"]}}}


def follow(world: World, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any], listed: bool = True) -> Callable[..., Recorder]:
    entries = [{"Id": WEB, "Names": ["/web"]}] if listed else []
    answers = {
        "/info": {"SecurityOptions": ["name=seccomp,profile=builtin"]},
        "/version": {"Version": "26.1.5", "Components": [{"Name": "runc", "Version": "1.1.15"}]},
        "/containers/json": entries,
        f"/containers/{WEB}/json": inspect,
        f"/containers/{WEB}/changes": [{"Path": "/tmp/x", "Kind": 1}],
    }

    class FakeStream:
        def __init__(self, path: str, since: float, uid: int | None) -> None:
            self.events: list[Event] = []

        def read(self) -> list[Event]:
            found, self.events = self.events, []
            return found

        def close(self) -> None:
            pass

    monkeypatch.setattr(engines, "EventStream", FakeStream)
    monkeypatch.setattr(engines, "Engine", lambda *unused: FakeApi(answers))
    return world.start


def test_a_running_container_is_described(world: World, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    found = follow(world, monkeypatch, inspect)(100.0)
    found.run_timers(101.0)
    found.flush(140.0)
    saved = read_file(world)
    instance = saved["instances"][0]
    assert (instance["name"], instance["apparmor"], instance["seccomp"], instance["running"]) == ("web", "docker-default", "builtin", True)
    assert instance["peaks"] == {"pids": 4, "memory": None}
    assert instance["written"] == ["/tmp/x"]
    assert not instance["events"]["start_seen"]
    assert (saved["host"]["engine"], saved["host"]["runtime"]) == ("26.1.5", "runc 1.1.15")
    assert list_gaps(found) == [("start_not_seen", "calls"), ("start_not_seen", "access")]
    assert world.reloaded == ["docker-default"]


def test_a_start_that_is_seen_removes_its_gap(world: World, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    found = follow(world, monkeypatch, inspect)(100.0)
    found.run_timers(101.0)
    engine, now = found.engines[0], time.time()
    for action in ("kill", "die", "stop", "start"):
        engine.handle(Event(WEB, action, "", {"name": "web"}, now))
    engine.handle(Event(WEB, "exec_start", "check", {}, now))
    assert list_gaps(found) == []
    assert found.store.instances[WEB].events == {
        "starts": 1,
        "stops": 1,
        "execs": 0,
        "health_checks": 1,
        "restarts": 1,
        "oom": 0,
        "start_seen": False,  # it was created before
    }
    assert found.store.instances[WEB].written == ["/tmp/x"]


def test_a_container_without_confinement_is_a_gap(world: World, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    world.host.path("/proc/50/status").write_text("Seccomp:\t0\n")
    world.host.path("/proc/50/attr/current").write_text("unconfined\n")
    found = follow(world, monkeypatch, inspect)(100.0)
    found.engines[0].handle(Event(WEB, "start", "", {"name": "web"}, 110.0))
    assert list_gaps(found) == [("unconfined", "calls"), ("unconfined", "access")]
    assert "web runs without a seccomp filter" in found.store.gaps[0]["text"]


def test_a_container_that_was_removed_has_what_events_tell(world: World, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    found = follow(world, monkeypatch, inspect, listed=False)(100.0)
    attributes = {"name": "once", "image": "tool:1", "com.docker.compose.service": "x", "secret": "y"}
    found.engines[0].handle(Event("b" * 64, "create", "", attributes, 110.0))
    about = found.store.instances["b" * 64].as_dict()
    assert (about["name"], about["image"], about["labels"]) == ("once", "tool:1", {"com.docker.compose.service": "x"})


def test_probes_are_not_recorded(world: World, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    folder = world.host.path("/var/lib/bulkhead/temporary")
    folder.mkdir(parents=True)
    record = {"token": "ab", "owner": "", "socket": "", "name": "bulkhead-probe", "containers": ["web"]}
    (folder / "ab.json").write_text(json.dumps(record))
    found = follow(world, monkeypatch, inspect)(100.0)
    found.run_timers(101.0)
    found.engines[0].handle(Event("b" * 64, "create", "", {"name": "web"}, 110.0))
    world.kernel.counts = FakeCounts(cgroups={7: SCOPE})
    found.dump(130.0)
    assert found.store.instances == {}
    assert found.attribution.find_owner(7) is None
