# SPDX-License-Identifier: GPL-3.0-or-later
"""How the recorder follows an engine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import engines
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.events import Event
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.recorder import Recorder

from ...builders import write_files
from .fake_host import SCOPE, WEB, FakeCounts, FakeHost, list_gaps, read_file, run_container


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
def inspect(fake: FakeHost) -> dict[str, Any]:
    files = {"cgroup": f"0::{SCOPE}\n", "status": "Seccomp:\t2\n", "attr/current": "docker-default (enforce)\n"}
    write_files(fake.host.path("/proc/50"), files)
    run_container(fake)
    fake.host.path(f"/sys/fs/cgroup{SCOPE}/pids.peak").write_text("4\n")
    state = {"Pid": 50, "StartedAt": "1970-01-01T00:01:00Z"}
    return {"Id": WEB, "Name": "/web", "State": state, "Config": {"Image": "shop:1", "Healthcheck": {"Test": ["CMD", "check"]}}}


def refuse(*unused: Any) -> None:
    raise ConnectionRefusedError


def hang(*unused: Any) -> None:
    raise TimeoutError


def follow(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any], listed: bool = True, replayed: tuple[Event, ...] = ()
) -> Callable[..., Recorder]:
    entries = [{"Id": WEB, "Names": ["/web"]}] if listed else []
    answers = {
        "/info": {"SecurityOptions": ["name=seccomp,profile=builtin"]},
        "/version": {"Version": "26.1.5", "Components": [{"Name": "runc", "Version": "1.1.15"}]},
        "/containers/json": entries,
        f"/containers/{WEB}/json": inspect,
        f"/containers/{WEB}/changes": [{"Path": "/tmp/x", "Kind": 1}, {"Path": "/gone", "Kind": 2}],
    }

    class FakeStream:
        def __init__(self, path: str, since: float, uid: int | None) -> None:
            self.events = list(replayed)

        def read(self) -> list[Event]:
            found, self.events = self.events, []
            return found

        def close(self) -> None:
            pass

    def select(streams: list[FakeStream], *unused: Any) -> tuple[list[FakeStream], ...]:
        return [stream for stream in streams if stream.events], [], []

    monkeypatch.setattr(engines, "EventStream", FakeStream)
    monkeypatch.setattr(engines, "select", SimpleNamespace(select=select))
    monkeypatch.setattr(engines, "Engine", lambda *unused: FakeApi(answers))
    return fake.start


def test_a_running_container_is_described(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    found = follow(fake, monkeypatch, inspect)(100.0)
    found.run_timers(101.0)
    found.save_now(140.0)
    saved = read_file(fake)
    instance = saved["instances"][0]
    assert (instance["name"], instance["apparmor"], instance["seccomp"], instance["running"]) == ("web", "docker-default", "builtin", True)
    assert instance["peaks"] == {"pids": 4, "memory": None}
    assert instance["written"] == ["/tmp/x"]
    assert not instance["events"]["start_seen"]
    assert (saved["host"]["engine"], saved["host"]["runtime"]) == ("26.1.5", "runc 1.1.15")
    assert list_gaps(found) == [("start_not_seen", "calls"), ("start_not_seen", "access")]
    assert fake.reloaded == ["docker-default"]


def test_a_start_that_is_seen_removes_its_gap(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    found = follow(fake, monkeypatch, inspect)(100.0)
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


@pytest.mark.parametrize("problem", [refuse, hang])
def test_a_collection_does_not_wait_for_the_next_try(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any], problem: Callable[..., None]
) -> None:
    start = follow(fake, monkeypatch, inspect, replayed=(Event(WEB, "start", "", {}, 120.0),))
    connect = engines.EventStream
    monkeypatch.setattr(engines, "EventStream", problem)
    found = start(100.0)
    for now in (101.0, 103.0, 105.0):
        found.run_timers(now)
    monkeypatch.setattr(engines, "EventStream", connect)
    found.save_now(105.1)
    assert found.store.instances[WEB].events["starts"] == 1


def test_an_engine_that_hangs_is_tried_less_often(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    tries = []

    def hang_again(*unused: Any) -> None:
        tries.append(now)
        hang()

    start = follow(fake, monkeypatch, inspect)
    monkeypatch.setattr(engines, "EventStream", hang_again)
    found = start(100.0)
    for now in range(101, 131):
        found.run_timers(float(now))
    assert tries == [101, 103, 107, 115]
    found.save_now(130.5)
    assert len(tries) == 5


def test_the_writable_layer_is_read_without_the_engine(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    layer = fake.host.path("/var/lib/docker/overlay2/ab/diff")
    (layer / "srv").mkdir(parents=True)
    (layer / "srv/new").touch()
    mount = "30 20 0:50 / / rw - overlay overlay rw,lowerdir=/l/a:/l/b,upperdir=/var/lib/docker/overlay2/ab/diff,workdir=/w"
    fake.host.path("/proc/50/mountinfo").write_text(f"{mount}\n")
    found = follow(fake, monkeypatch, inspect)(100.0)
    found.run_timers(101.0)
    found.save_now(140.0)
    assert found.store.instances[WEB].written == ["/srv/new"]
    (layer / "srv/late").touch()
    found.engines[0].handle(Event(WEB, "die", "", {"name": "web"}, 150.0))
    assert found.store.instances[WEB].written == ["/srv/late", "/srv/new"]


def test_a_container_without_confinement_is_a_gap(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    fake.host.path("/proc/50/status").write_text("Seccomp:\t0\n")
    fake.host.path("/proc/50/attr/current").write_text("unconfined\n")
    found = follow(fake, monkeypatch, inspect)(100.0)
    found.engines[0].handle(Event(WEB, "start", "", {"name": "web"}, 110.0))
    assert list_gaps(found) == [("unconfined", "calls"), ("unconfined", "access")]
    assert "web runs without a seccomp filter" in found.store.gaps[0]["text"]


def test_a_container_that_was_removed_has_what_events_tell(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]
) -> None:
    found = follow(fake, monkeypatch, inspect, listed=False)(100.0)
    attributes = {"name": "once", "image": "tool:1", "com.docker.compose.service": "x", "secret": "y"}
    found.engines[0].handle(Event("b" * 64, "create", "", attributes, 110.0))
    about = found.store.instances["b" * 64].as_dict()
    assert (about["name"], about["image"], about["labels"]) == ("once", "tool:1", {"com.docker.compose.service": "x"})


def test_probes_are_not_recorded(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, inspect: dict[str, Any]) -> None:
    record = {"token": "ab", "owner": "", "socket": "", "name": "bulkhead-probe", "containers": ["web"]}
    write_files(fake.host, {"/var/lib/bulkhead/temporary/ab.json": json.dumps(record)})
    found = follow(fake, monkeypatch, inspect)(100.0)
    found.run_timers(101.0)
    found.engines[0].handle(Event("b" * 64, "create", "", {"name": "web"}, 110.0))
    fake.kernel.counts = FakeCounts(cgroups={7: SCOPE})
    found.collect_counts(130.0)
    assert found.store.instances == {}
    assert found.attribution.find_owner(7) is None
