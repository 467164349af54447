# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of fixtures with a fake engine and a fake systemd, for the tests of changes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import binary, program, service
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError, EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import activation, change, data_root, recovery
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

PATH = "/etc/docker/daemon.json"
UNMANAGED = '{"debug": true, "icc": true}'


@dataclass
class FakeHost:
    """Fakes of docker.service and its engine. rejected_text: a text in daemon.json with which the engine does not start."""

    host: Host
    active: str = "active"
    containers: dict[str, str] = field(default_factory=lambda: {"web": "running", "old": "exited"})
    live_restore: bool = False
    rejected_text: str | None = None
    broken_container: str | None = None
    rejects_reload: bool = False
    log: list[str] = field(default_factory=list)
    socket: str = "/var/run/docker.sock"
    timeout: float = 60
    complete: bool = False  # whether its containers end well while the engine restarts
    root: str = "/var/lib/docker"
    ended: str = "0001-01-01T00:00:00Z"  # when its containers did
    # name -> what returns its inspection, before and after the engine's restart
    inspects_before: dict[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)
    inspects_after: dict[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)
    is_new_root_empty: bool = False  # whether the next restart comes up under a root without containers

    # systemd
    instance = ROOTFUL

    def set_property(self, unit: str, assignment: str, timeout: float) -> None:
        self.log.append(f"{unit} {assignment}")

    def read_state(self) -> service.ServiceState:
        return service.ServiceState(self.active, 7 if self.active == "active" else 0, True)

    def restart(self, timeout: float) -> None:
        self.log.append("restart")
        if not self.live_restore or self.complete:
            self.containers = dict.fromkeys(self.containers, "exited")
        if self.rejected_text and self.rejected_text in (self.host.read(PATH) or ""):
            self.active = "failed"
            raise service.ServiceError("Job for docker.service failed")
        self.active = "active"
        if self.is_new_root_empty:
            self.containers = {}

    def stop_with_socket(self, timeout: float) -> None:
        self.stop(timeout)
        self.containers = dict.fromkeys(self.containers, "exited")

    def reload_units(self, timeout: float) -> None:
        self.log.append("daemon-reload")

    def stop(self, timeout: float) -> None:
        self.log.append("stop")
        self.active = "inactive"

    def reload_engine(self) -> None:
        self.log.append("reload")
        self.live_restore = json.loads(self.host.read(PATH) or "{}").get("live-restore", self.live_restore)

    def find_reload_error(self, moment: float) -> str | None:
        return "Error reconfiguring the daemon: no" if self.rejects_reload else None

    def find_failure(self, moment: float) -> str:
        return "failed to start daemon: bad thing" if self.active == "failed" else ""

    # the engine
    def is_up(self) -> bool:
        return self.active == "active"

    def get(self, path: str, **query: Any) -> Any:
        if not self.is_up():
            raise EngineUnreachable("no engine answers")
        if path == "/events":
            return None if self.rejects_reload else {"Action": "reload"}
        if path == "/info":
            return {"LiveRestoreEnabled": self.live_restore, "Swarm": {"LocalNodeState": "inactive"}, "DockerRootDir": self.root}
        if path.count("/") == 3:
            name = path.split("/")[2]
            plain = {"State": {"FinishedAt": self.ended, "Status": self.containers.get(name)}, "Config": {}}
            return (self.inspects_after if "restart" in self.log else self.inspects_before).get(name, lambda: plain)()
        listed = self.containers.items()
        status = "Exited (0) 1 second ago" if self.complete else ""
        return [
            {"Id": n, "Names": [f"/{n}"], "State": s, "Status": status, "Created": 1}
            for n, s in listed
            if query.get("all") or s == "running"
        ]

    def close(self) -> None:
        pass

    def post(self, path: str, **query: Any) -> Any:
        name, action = path.split("/")[2:]
        self.log.append(f"{action} {name}")
        if action == "start" and name == self.broken_container:
            raise EngineError(500, "no such device")
        self.containers[name] = "running" if action == "start" else "exited"


def pass_time_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `time.sleep` return at once, and clocks show the time that it would have taken."""
    slept, monotonic = [0.0], time.monotonic

    def sleep(seconds: float) -> None:
        slept[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + slept[0])


def make_fake_host(root: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    host = Host(root)
    for path in ("/etc/docker", "/var/lib", "/etc/systemd/system", "/proc"):
        host.path(path).mkdir(parents=True)
    host.path(PATH).write_text(UNMANAGED)
    fake = FakeHost(host)
    monkeypatch.setattr(data_root, "Engine", lambda *unused: fake)
    for module in (change, activation, recovery, data_root):
        monkeypatch.setattr(module, "EngineService", lambda *unused: fake)
    monkeypatch.setattr(change, "read_start_time", lambda *unused: 10.0**12)
    pass_time_asleep(monkeypatch)
    monkeypatch.setattr(program, "find_dockerd", lambda *unused: "/usr/sbin/dockerd")
    monkeypatch.setattr(program, "identify_program", lambda unused: {"path": "/usr/sbin/dockerd", "size": 1, "mtime": 1})
    monkeypatch.setattr(program, "contains_text", lambda *unused: False)
    monkeypatch.setattr(binary, "validate_config", lambda _program, text, *unused: "unknown directive: iccc" if "iccc" in text else None)
    return fake


def run(fake: FakeHost, **request: Any) -> change.ConfigOutcome:
    request.setdefault("options", {"icc": False, "live-restore": True})
    return change.change_config(fake.host, fake, change.ConfigRequest(**request))  # type: ignore[arg-type]


def failure(fake: FakeHost, **request: Any) -> change.ConfigFailed:
    with pytest.raises(change.ConfigFailed) as caught:
        run(fake, **request)
    return caught.value


def states(fake: FakeHost) -> list[str]:
    folder = fake.host.path("/var/lib/bulkhead/transactions")
    return [json.loads((entry / "journal.json").read_text())["state"] for entry in sorted(folder.iterdir())] if folder.exists() else []
