# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop and start both engines, and recover from an interrupted run, on a host of fixtures with a fake systemd."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.service import ServiceState
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.systemctl import ServiceError
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import engine_restart
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.rootless import managed_files, names, rootful, setup, stopped

from ...builders import write_files

USER = Instance("rootless", os.geteuid(), os.getegid(), "/home/rootless")
WEB, DB = {"id": "1", "name": "web"}, {"id": "2", "name": "db"}


class Killed(BaseException):
    """The run is no more."""


@dataclass
class Machine:
    """One engine, its containers by ID, and its units. dies: before which step the run is killed."""

    host: Host
    active: bool = True
    answers: bool = True
    dies: str = ""
    running: dict[str, bool] = field(default_factory=lambda: {"1": True, "2": True})
    log: list[str] = field(default_factory=list)

    timeout = 60
    socket = "/run/other.sock"

    def connect(self, path: str, _timeout: float) -> Machine:
        assert path == self.socket
        return self

    def do(self, step: str) -> None:
        if self.dies and step.startswith(self.dies):
            raise Killed
        self.log.append(step)

    def get(self, path: str, **query: Any) -> Any:
        if not self.answers or not self.active:
            raise EngineUnreachable("no engine answers")
        if path != "/containers/json":
            return {}
        names = {"1": "web", "2": "db"}
        return [
            {"Id": i, "Names": [f"/{names[i]}"], "State": "running" if up else "exited", "Created": int(i)}
            for i, up in self.running.items()
            if up or query.get("all")
        ]

    def is_up(self) -> bool:
        return self.answers and self.active

    def post(self, path: str, **_query: Any) -> None:
        identifier, action = path.split("/")[2:]
        self.do(f"{action} {identifier}")
        self.running[identifier] = action == "start"

    def systemctl(self, verb: str, *units: str, **_options: Any) -> str:
        if verb == "is-active":
            if not self.active:
                raise ServiceError("systemctl is-active: inactive")
            return "active"
        if verb == "is-enabled":
            return "enabled"
        self.do(" ".join((verb, *units)))
        if "--now" in units:
            self.active, self.running = False, dict.fromkeys(self.running, False)
        if verb == "start":
            self.active = True
        return ""

    # the service of a user
    def read_state(self) -> ServiceState:
        return ServiceState("active" if self.active else "inactive", 7, True)

    def restart(self, _timeout: float) -> None:
        self.running = dict.fromkeys(self.running, False)
        self.active = True
        self.do("restart")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    host = Host(tmp_path)
    for path in ("/usr/lib/systemd/system", "/var/lib", "/etc/apparmor.d"):
        host.path(path).mkdir(parents=True)
    host.path("/usr/lib/systemd/system/docker.service").write_text("")
    there = Machine(host)
    monkeypatch.setattr(rootful, "open_engine", lambda *_unused: there)
    monkeypatch.setattr(rootful, "Engine", there.connect)
    monkeypatch.setattr(setup.Engine, "for_instance", lambda *_unused: there)
    for module in (rootful, setup):
        monkeypatch.setattr(module, "systemctl", there.systemctl)
    monkeypatch.setattr(setup, "EngineService", lambda *_unused: there)
    now = iter(range(10000))
    monkeypatch.setattr(engine_restart.time, "sleep", lambda _unused: None)
    monkeypatch.setattr(engine_restart.time, "monotonic", lambda: next(now))
    return there


# --- the rootful engine ---


def test_rootful_engine_is_restored_with_containers(machine: Machine) -> None:
    known: dict[str, Any] = {"user": "rootless"}
    assert rootful.stop_rootful(machine.host, known, True, 10)
    before = state.load(machine.host, "rootless")["rootful"]
    assert (before["containers"], before["socket"]) == ([WEB, DB], "/run/other.sock")
    assert not any(machine.running.values())
    warnings: list[str] = []
    assert rootful.restore_rootful(state.load(machine.host, "rootless"), 10, warnings) == "rootful engine restored"
    assert (machine.running, warnings) == ({"1": True, "2": True}, [])


@pytest.mark.parametrize("dies", ["stop 2", "stop 1", "disable", "mask"])
def test_interrupted_stop_of_rootful_engine_is_remembered(machine: Machine, dies: str) -> None:
    machine.dies = dies
    with pytest.raises(Killed):
        rootful.stop_rootful(machine.host, {"user": "rootless"}, True, 10)
    machine.dies = ""
    rootful.stop_rootful(machine.host, state.load(machine.host, "rootless"), True, 10)
    known = state.load(machine.host, "rootless")["rootful"]
    assert (known["containers"], known["active"], "stopping" in known) == ([WEB, DB], ["docker.service"], False)


def test_earlier_containers_are_not_restored(machine: Machine) -> None:
    known: dict[str, Any] = {"user": "rootless"}
    rootful.stop_rootful(machine.host, known, True, 10)
    machine.active, machine.running = True, {"1": False, "2": True}
    rootful.stop_rootful(machine.host, known, True, 10)
    assert known["rootful"]["containers"] == [DB]


def test_silent_rootful_engine_is_not_stopped(machine: Machine) -> None:
    machine.answers = False
    with pytest.raises(ValueError, match=r"docker.service is active, but no engine answers on /run/other.sock"):
        rootful.stop_rootful(machine.host, {"user": "rootless"}, True, 10)
    assert machine.log == []


# --- the rootless engine ---


def test_containers_stopped_by_interrupted_run_start_again(machine: Machine) -> None:
    known: dict[str, Any] = {"user": "rootless"}
    outcome, requested = setup.SetupOutcome(instance=USER), setup.RootlessRequest("rootless", None)  # type: ignore[arg-type]
    machine.dies = "restart"
    with pytest.raises(Killed):
        setup._restart_engine(machine.host, requested, known, engine_restart.take_snapshot(machine.host, machine), True, outcome)  # type: ignore[arg-type]
    machine.dies = ""
    known = state.load(machine.host, "rootless")
    assert stopped.list_stopped(known) == ["web", "db"]
    before = stopped.merge_stopped(known, engine_restart.take_snapshot(machine.host, machine))  # type: ignore[arg-type]
    setup._restart_engine(machine.host, requested, known, before, False, outcome)
    assert machine.running == {"1": True, "2": True}
    assert (stopped.list_stopped(state.load(machine.host, "rootless")), outcome.steps) == ([], ["started again: web, db"])
    machine.log.clear()
    setup._restart_engine(machine.host, requested, known, engine_restart.take_snapshot(machine.host, machine), False, outcome)  # type: ignore[arg-type]
    assert machine.log == []


def test_stopped_containers_are_merged_once() -> None:
    now = engine_restart.EngineSnapshot(running=True, containers=[DB])
    assert stopped.merge_stopped({}, now) is now
    assert stopped.merge_stopped({"stopped": [WEB, DB]}, now).containers == [WEB, DB]
    assert stopped.merge_stopped({"stopped": [WEB]}, now).containers == [WEB, DB]
    assert stopped.merge_stopped({"stopped": []}, engine_restart.EngineSnapshot()).running


def policy(host: Host, *names: str) -> None:
    write_files(host, {"/sys/kernel/security/apparmor/profiles": "".join(f"{name} (unconfined)\n" for name in names)})


@pytest.mark.parametrize("loaded", [True, False])
def test_missing_profile_is_loaded(machine: Machine, loaded: bool) -> None:
    policy(machine.host, "docker-default", *([names.PROFILE] if loaded else []))
    outcome, commands = setup.SetupOutcome(), []

    def run(command: list[str]) -> tuple[int, str, str]:
        commands.append(command)
        return 0, "", ""

    setup._load_modules(machine.host, [managed_files.ManagedFile(names.ROOTLESSKIT, "text")], {}, outcome, run)
    assert commands == ([] if loaded else [["apparmor_parser", "--replace", names.ROOTLESSKIT]])
    assert outcome.changed is not loaded


@pytest.mark.parametrize("loaded", [True, False])
def test_profile_that_is_not_loaded_can_be_removed(machine: Machine, monkeypatch: pytest.MonkeyPatch, loaded: bool) -> None:
    policy(machine.host, *([names.PROFILE] if loaded else []))
    machine.host.path(names.ROOTLESSKIT).write_text("text")
    state.save(machine.host, "rootless", {"user": "gone", "files": [names.ROOTLESSKIT]})
    commands: list[list[str]] = []
    monkeypatch.setattr(setup, "_run_command", commands.append)
    setup.remove_engine(machine.host, "gone", False, 10, False)
    assert commands == ([["apparmor_parser", "--remove", names.ROOTLESSKIT]] if loaded else [])
    assert not machine.host.path(names.ROOTLESSKIT).exists()
    assert state.load(machine.host, "rootless") == {}
