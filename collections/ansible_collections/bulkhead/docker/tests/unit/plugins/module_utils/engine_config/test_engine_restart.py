# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers before a change, and whether they run again after it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError, EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import data_root, engine_restart
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host


class Containers:
    """An engine with containers, each a dict of its listed and inspected values. starts: the state after a start.

    stale: how many starts fail because containerd still has the task.
    """

    timeout = 60
    socket = "/s"

    def __init__(self, **containers: dict[str, Any]) -> None:
        self.containers = containers
        self.posted: list[tuple[str, Any]] = []

    def get(self, path: str, **query: Any) -> Any:
        if path == "/info":
            return {}
        if path == "/containers/json":
            shown = [(n, c) for n, c in self.containers.items() if query.get("all") or c["State"] in ("running", "restarting", "paused")]
            return [{"Id": n, "Names": [f"/{n}"], "Status": "", "Created": 1, **c} for n, c in shown]
        found = self.containers.get(path.split("/")[2])
        if found is None:
            raise EngineError(404, "No such container")
        return {"RestartCount": found.get("RestartCount", 0), "Config": {"StopTimeout": found.get("StopTimeout")}}

    def close(self) -> None:
        pass

    def post(self, path: str, patience: float | None = None) -> Any:
        name, action = path.split("/")[2:]
        self.posted.append((f"{action} {name}", patience))
        if action == "start" and self.containers[name].get("stale", 0) > 0:
            self.containers[name]["stale"] -= 1
            raise EngineError(500, f"failed to create task for container: task {name}: already exists")
        if action == "start" and self.containers[name]["State"] != "restarting":  # else 304: it counts as running
            self.containers[name]["State"] = self.containers[name].get("starts", "running")


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1000))
    monkeypatch.setattr(engine_restart.time, "sleep", lambda unused: None)
    monkeypatch.setattr(engine_restart.time, "monotonic", lambda: next(now))


LOOPING = [
    {"State": "restarting", "Status": "Restarting (1) 3 seconds ago"},
    {"State": "running", "Status": "Up 2 seconds", "RestartCount": 4},
]


@pytest.mark.parametrize("container", LOOPING)
@pytest.mark.parametrize("after", ["restarting", "running", "exited"])
def test_container_that_kept_ending_before_is_no_failure(host: Host, container: dict[str, Any], after: str) -> None:
    engine = Containers(web=dict(container))
    before = engine_restart.take_snapshot(host, engine).containers  # type: ignore[arg-type]
    assert before == [{"id": "web", "name": "web", "looping": True}]
    engine.containers["web"].update(State=after, starts="exited")
    assert engine_restart.restart_containers(engine, before, 1).failed == {}  # type: ignore[arg-type]
    assert ("start web" in dict(engine.posted)) == (after == "exited")


@pytest.mark.parametrize("container", [{"Status": "Up 2 seconds"}, {"Status": "Up 3 weeks", "RestartCount": 4}])
def test_container_that_keeps_ending_afterwards_is_a_failure(host: Host, container: dict[str, Any]) -> None:
    engine = Containers(web={"State": "running", **container})
    before = engine_restart.take_snapshot(host, engine).containers  # type: ignore[arg-type]
    engine.containers["web"]["State"] = "restarting"
    assert engine_restart.restart_containers(engine, before, 1).failed == {"web": "it was started and ended again"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "outlive", "posted"),
    [
        ("Exited (0) 2 seconds ago", True, []),
        ("Exited (0) 2 seconds ago", False, ["start job"]),
        ("Exited (137) 2 seconds ago", True, ["start job"]),
    ],
)
def test_job_that_completed_is_not_started_again(status: str, outlive: bool, posted: list[str]) -> None:
    engine = Containers(job={"State": "exited", "Status": status})
    assert engine_restart.restart_containers(engine, [{"id": "job", "name": "job"}], 1, outlive).failed == {}  # type: ignore[arg-type]
    assert [what for what, _patience in engine.posted] == posted


@pytest.mark.parametrize("stop", [engine_restart.stop_containers, data_root.stop_together])
@pytest.mark.parametrize(("own", "patience"), [(None, 60), (10, 60), (120, 150), (-1, 3600)])
def test_stop_waits_for_the_stop_timeout(own: int | None, patience: float, stop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Containers(web={"State": "running", "StopTimeout": own})
    monkeypatch.setattr(data_root, "Engine", lambda *unused: engine)
    stop(engine, [{"id": "web", "name": "web"}, {"id": "gone", "name": "gone"}])  # type: ignore[arg-type]
    assert engine.posted == [("stop web", patience)]


def test_slow_containers_are_stopped_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine gives up on those that take long when it stops itself."""
    both = threading.Barrier(2, timeout=10)

    class Slow(Containers):
        def post(self, path: str, patience: float | None = None) -> Any:
            both.wait()
            return super().post(path, patience)

    engine = Slow(one={"State": "running"}, two={"State": "running"})
    monkeypatch.setattr(data_root, "Engine", lambda *unused: engine)
    data_root.stop_together(engine, [{"id": "one", "name": "one"}, {"id": "two", "name": "two"}])  # type: ignore[arg-type]
    assert sorted(what for what, _patience in engine.posted) == ["stop one", "stop two"]


def test_a_stop_for_a_change_is_not_kept_as_the_users(host: Host) -> None:
    """The engine would not start a container with the policy `unless-stopped` after a power cut."""
    texts = {
        "one": '{"ID":"one","Config":{"Cmd":["\\u003c,\\"HasBeenManuallyStopped\\":true"]},"HasBeenManuallyStopped":true,"Name":"/x"}',
        "two": '{"HasBeenManuallyStopped":true}',
        "other": '{"HasBeenManuallyStopped":true}',
    }
    for name, text in texts.items():
        folder = host.path(f"/data/containers/{name}")
        folder.mkdir(parents=True)
        (folder / "config.v2.json").write_text(text)
        (folder / "config.v2.json").chmod(0o600)
    data_root.forget_stops(host, "/data", ["one", "two", "removed-by-rm"])
    found = {name: host.read(f"/data/containers/{name}/config.v2.json") for name in texts}
    assert found["one"] == texts["one"].replace('"HasBeenManuallyStopped":true,"Name"', '"HasBeenManuallyStopped":false,"Name"')
    assert (found["two"], found["other"]) == ('{"HasBeenManuallyStopped":false}', texts["other"])
    assert host.path("/data/containers/one/config.v2.json").stat().st_mode & 0o777 == 0o600
    assert not [path for path in host.path("/data").rglob("*") if path.is_file() and path.name != "config.v2.json"]


def test_snapshot_of_an_unreachable_engine(host: Host) -> None:
    class Silent:
        def get(self, _path: str) -> Any:
            raise EngineUnreachable("no engine answers")

    assert engine_restart.take_snapshot(host, Silent()) == engine_restart.EngineSnapshot()  # type: ignore[arg-type]


@pytest.mark.parametrize(("stale", "failed"), [(5, False), (100, True)])
def test_a_stale_task_is_waited_for(stale: int, failed: bool) -> None:
    engine = Containers(web={"State": "exited", "stale": stale})
    result = engine_restart.restart_containers(engine, [{"id": "web", "name": "web"}], 60)  # type: ignore[arg-type]
    assert bool(result.failed) is failed
    assert not failed or result.failed["web"].endswith("systemctl restart containerd, then docker start web")
    assert result.started == ([] if failed else ["web"])
