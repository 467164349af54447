# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction's course, on a host of fixtures with an engine and a systemd that do as they are told."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import binary, service
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError, EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import activation, change, data_root, drop_in, recovery
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.transaction import Transaction, list_open
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

PATH = "/etc/docker/daemon.json"
FOREIGN = '{"debug": true, "icc": true}'


@dataclass
class World:
    """docker.service and the engine behind it. `poison`: a text in daemon.json with which the engine does not start."""

    host: Host
    active: str = "active"
    containers: dict[str, str] = field(default_factory=lambda: {"web": "running", "old": "exited"})
    live_restore: bool = False
    poison: str | None = None
    unstartable: str | None = None
    deaf: bool = False
    log: list[str] = field(default_factory=list)
    socket: str = "/var/run/docker.sock"
    timeout: float = 60
    job: bool = False  # whether its containers end well while the engine restarts
    root: str = "/var/lib/docker"
    ended: str = "0001-01-01T00:00:00Z"  # when its containers did
    elsewhere: bool = False  # whether the next restart comes up under a root without containers

    # systemd
    instance = ROOTFUL

    def set_property(self, unit: str, assignment: str, timeout: float) -> None:
        self.log.append(f"{unit} {assignment}")

    def read_state(self) -> service.ServiceState:
        return service.ServiceState(self.active, 7 if self.active == "active" else 0, True)

    def restart(self, timeout: float) -> None:
        self.log.append("restart")
        if not self.live_restore or self.job:
            self.containers = dict.fromkeys(self.containers, "exited")
        if self.poison and self.poison in (self.host.read(PATH) or ""):
            self.active = "failed"
            raise service.ServiceError("Job for docker.service failed")
        self.active = "active"
        if self.elsewhere:
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
        return "Error reconfiguring the daemon: no" if self.deaf else None

    def find_failure(self, moment: float) -> str:
        return "failed to start daemon: bad thing" if self.active == "failed" else ""

    # the engine
    def ping(self) -> bool:
        return self.active == "active"

    def get(self, path: str, **query: Any) -> Any:
        if not self.ping():
            raise EngineUnreachable("no engine answers")
        if path == "/events":
            return None if self.deaf else {"Action": "reload"}
        if path == "/info":
            return {"LiveRestoreEnabled": self.live_restore, "Swarm": {"LocalNodeState": "inactive"}, "DockerRootDir": self.root}
        if path.count("/") == 3:
            return {"State": {"FinishedAt": self.ended}, "Config": {}}
        listed = self.containers.items()
        status = "Exited (0) 1 second ago" if self.job else ""
        return [
            {"Id": n, "Names": [f"/{n}"], "State": s, "Status": status, "Created": 1}
            for n, s in listed
            if query.get("all") or s == "running"
        ]

    def post(self, path: str, **query: Any) -> Any:
        name, action = path.split("/")[2:]
        self.log.append(f"{action} {name}")
        if action == "start" and name == self.unstartable:
            raise EngineError(500, "no such device")
        self.containers[name] = "running" if action == "start" else "exited"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


def test_containers_without_swap_stay_without_it(world: World) -> None:
    for name, swap in (("a", "0"), ("b", "max"), ("c", "4096")):
        folder = world.host.path(f"/sys/fs/cgroup/system.slice/docker-{name * 64}.scope")
        folder.mkdir(parents=True)
        (folder / "memory.swap.max").write_text(f"{swap}\n")
    run(world, pids_limit=100)
    told = f"docker-{'a' * 64}.scope MemorySwapMax=0"
    assert [entry for entry in world.log if entry.startswith("docker-")] == [told]
    assert world.log.index(told) < world.log.index("daemon-reload")


def make_world(root: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    host = Host(root)
    for path in ("/etc/docker", "/var/lib", "/etc/systemd/system"):
        host.path(path).mkdir(parents=True)
    host.path(PATH).write_text(FOREIGN)
    there = World(host)
    for module in (change, activation, recovery, data_root):
        monkeypatch.setattr(module, "Service", lambda *unused: there)
    monkeypatch.setattr(change, "read_start_time", lambda *unused: 10.0**12)
    monkeypatch.setattr(activation.engine_restart.time, "sleep", lambda unused: None)
    monkeypatch.setattr(binary, "find_dockerd", lambda *unused: "/usr/sbin/dockerd")
    monkeypatch.setattr(binary, "read_identity", lambda unused: {"path": "/usr/sbin/dockerd", "size": 1, "mtime": 1})
    monkeypatch.setattr(binary, "knows_key", lambda *unused: False)
    monkeypatch.setattr(binary, "validate_config", lambda _program, text, *unused: "unknown directive: iccc" if "iccc" in text else None)
    return there


def run(world: World, **request: Any) -> change.ConfigOutcome:
    request.setdefault("options", {"icc": False, "live-restore": True})
    return change.change_config(world.host, world, change.ConfigRequest(**request))  # type: ignore[arg-type]


def failure(world: World, **request: Any) -> change.ConfigFailed:
    with pytest.raises(change.ConfigFailed) as caught:
        run(world, **request)
    return caught.value


def states(world: World) -> list[str]:
    folder = world.host.path("/var/lib/bulkhead/transactions")
    return [json.loads((entry / "journal.json").read_text())["state"] for entry in sorted(folder.iterdir())] if folder.exists() else []


def test_a_good_change(world: World) -> None:
    outcome = run(world, pids_limit=100)
    assert json.loads(world.host.read(PATH) or "") == {"debug": True, "icc": False, "live-restore": True}
    assert world.host.read(drop_in.PATH) == drop_in.render_drop_in(100)
    assert (outcome.changed, outcome.restarted, outcome.containers_restarted) == (True, True, [])
    # live-restore is taken over first, so that the containers survive even this restart.
    assert world.log == ["daemon-reload", "reload", "restart"]
    assert world.containers == {"web": "running", "old": "exited"}
    assert states(world) == ["committed"]


def test_a_second_run_does_nothing(world: World) -> None:
    run(world, pids_limit=100)
    world.log.clear()
    outcome = run(world, pids_limit=100)
    assert (outcome.changed, outcome.transaction, world.log) == (False, None, [])


def test_without_live_restore_what_ran_is_started_again_and_nothing_else(world: World) -> None:
    outcome = run(world, options={"icc": False})
    assert outcome.containers_restarted == ["web"]
    assert world.log == ["restart", "start web"]


@pytest.mark.parametrize(("live_restore", "log"), [(True, ["reload", "restart"]), (False, ["restart", "start web"])])
def test_a_job_that_ends_while_live_restore_lets_it_outlive_the_engine_is_not_run_twice(
    world: World, live_restore: bool, log: list[str]
) -> None:
    world.job = True
    assert run(world, options={"icc": False, "live-restore": live_restore}).restarted
    assert world.log == log


def test_check_mode_touches_nothing(world: World) -> None:
    outcome = run(world, pids_limit=100, check=True)
    assert outcome.changed and outcome.diff.keys() == {PATH, drop_in.PATH}
    assert (world.host.read(PATH), world.host.read(drop_in.PATH), world.log) == (FOREIGN, None, [])
    assert not world.host.path("/var/lib/bulkhead").exists()


@pytest.mark.parametrize("check", [True, False])
def test_what_the_engine_does_not_take_is_refused_before_anything(world: World, check: bool) -> None:
    refused = failure(world, options={"iccc": False}, check=check)
    assert "nothing was changed: unknown directive: iccc" in str(refused)
    assert (world.host.read(PATH), world.log, states(world)) == (FOREIGN, [], [])
    assert not refused.outcome.changed


def test_a_configuration_that_does_not_start_is_undone(world: World) -> None:
    world.poison = "bogus"
    failed = failure(world, options={"storage-driver": "bogus"}, pids_limit=50, own_checks=False, stop_containers=True)
    assert "failed to start daemon: bad thing; the previous configuration is restored and the engine runs with it" in str(failed)
    assert failed.outcome.rolled_back and not failed.outcome.changed
    assert (world.host.read(PATH), world.host.read(drop_in.PATH)) == (FOREIGN, None)
    assert world.active == "active" and world.containers["web"] == "running"
    assert world.log == ["daemon-reload", "restart", "daemon-reload", "restart", "start web"]
    assert states(world) == ["undone"]
    assert state.load(world.host, "daemon") == {}


def test_a_container_that_does_not_come_back_undoes_the_change(world: World) -> None:
    world.unstartable = "web"
    failed = failure(world, options={"icc": False})
    assert "container web does not start again: no such device" in str(failed)
    assert world.host.read(PATH) == FOREIGN
    assert any("do not run again: web" in warning for warning in failed.outcome.warnings)


@pytest.mark.parametrize("steps", [[], ["restart"], ["daemon-reload", "restart"]])
def test_what_a_run_that_died_left_is_undone_first(world: World, steps: list[str]) -> None:
    dead = Transaction.begin(world.host, [PATH, drop_in.PATH], {"running": True, "containers": [{"id": "web", "name": "web"}]})
    dead.write(PATH, '{"half": true}')
    for step in steps:
        dead.record_step(step)
    if steps:
        world.active, world.containers = "failed", {"web": "exited"}
    outcome = run(world)
    assert outcome.recovered == [dead.id]
    assert json.loads(world.host.read(PATH) or "") == {"debug": True, "icc": False, "live-restore": True}
    assert world.containers["web"] == "running"
    assert list_open(world.host) == []


def died(world: World) -> Transaction:
    """A run that wrote its daemon.json and died, whose file somebody has edited since."""
    dead = Transaction.begin(world.host, [PATH], {"running": True, "containers": [{"id": "web", "name": "web"}]})
    dead.write(PATH, '{"icc": false}')
    world.host.path(PATH).write_text('{"icc": false, "dns": ["1.1.1.1"]}')
    return dead


def test_what_somebody_edited_since_a_run_died_and_the_engine_works_with_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = died(world)
    world.containers["web"] = "exited"
    monkeypatch.setattr(recovery, "read_start_time", lambda *unused: time.time() + 10)
    outcome = run(world, recover=True)
    assert (outcome.recovered, outcome.changed, world.log, states(world)) == ([], False, [], ["left"])
    assert json.loads(world.host.read(PATH) or "")["dns"] == ["1.1.1.1"]
    assert any(f"({dead.id}); {PATH} has been edited since" in warning for warning in outcome.warnings)
    assert "there is no change" in str(failure(world, revert=True))


@pytest.mark.parametrize("started", [None, 1.0])
def test_what_somebody_edited_and_no_engine_has_shown_to_work_is_kept_as_a_copy(
    world: World, monkeypatch: pytest.MonkeyPatch, started: float | None
) -> None:
    dead = died(world)
    monkeypatch.setattr(recovery, "read_start_time", lambda *unused: started)
    outcome = run(world, recover=True)
    assert (world.host.read(PATH), states(world)) == (FOREIGN, ["undone"])
    copy = dead.folder / "edited-0"
    assert json.loads(copy.read_text())["dns"] == ["1.1.1.1"]
    assert any(f"the edited file is kept as {copy}" in warning for warning in outcome.warnings)


@pytest.mark.parametrize(("after", "log"), [(7200, []), (60, ["start web"])])
def test_what_was_stopped_long_after_a_run_died_stays_so(world: World, monkeypatch: pytest.MonkeyPatch, after: int, log: list[str]) -> None:
    dead = Transaction.begin(world.host, [PATH], {"running": True, "containers": [{"id": "web", "name": "web"}]})
    dead.write(PATH, '{"icc": false}')
    world.containers["web"] = "exited"
    world.ended = datetime.fromtimestamp(time.time() + after, UTC).isoformat()
    monkeypatch.setattr(recovery, "read_start_time", lambda *unused: 1.0)
    outcome = run(world, recover=True)
    assert (world.log, world.host.read(PATH)) == (log, FOREIGN)
    assert any("not started again" in warning for warning in outcome.warnings) == (not log)


def test_an_engine_that_is_stopped_stays_so(world: World) -> None:
    world.active = "inactive"
    outcome = run(world, pids_limit=100)
    assert outcome.changed and not outcome.restarted
    assert any("stays so" in notice for notice in outcome.notices)
    assert world.log == ["daemon-reload"]


def test_a_second_run_at_the_same_time_is_told(world: World) -> None:
    with state.lock_host(world.host):
        assert "another run of Bulkhead is changing this host" in str(failure(world))


def test_containers_are_not_left_behind_unasked(world: World) -> None:
    refused = failure(world, options={"data-root": "/srv"})
    assert "no longer manage the running containers web" in str(refused)
    assert (world.host.read(PATH), world.log) == (FOREIGN, [])


@pytest.mark.parametrize(("live_restore", "log"), [(False, ["restart"]), (True, ["stop web", "restart"])])
def test_stopped_containers_stay_behind_when_asked(world: World, live_restore: bool, log: list[str]) -> None:
    world.live_restore = live_restore
    world.elsewhere = True
    assert run(world, options={"data-root": "/srv"}, stop_containers=True).restarted
    assert world.log == log


def test_under_a_root_that_has_them_what_ran_is_started(world: World) -> None:
    assert run(world, options={"data-root": "/srv"}, stop_containers=True).containers_restarted == ["web"]
    assert world.log == ["restart", "start web"]


@dataclass
class Mover:
    """Carries nothing, and writes down that it was asked. `breaks`: where it fails."""

    world: World
    breaks: str = ""
    root: str = "/var/lib/docker/231072.231072"
    leave: frozenset[str] = frozenset()

    def prepare(self, info: dict[str, Any], orphans: Any = ()) -> None:
        self._do("prepare")

    def migrate(self) -> None:
        assert self.world.active == "inactive"
        assert self.world.host.read(PATH) == FOREIGN, "the old configuration holds until all is carried"
        self._do("carry")
        self.world.host.path(self.root).mkdir(parents=True)

    def _do(self, what: str) -> None:
        self.world.log.append(what)
        if what == self.breaks:
            raise ValueError("no room")


MOVE = {"options": {"userns-remap": "default"}, "stop_containers": True}


def test_what_is_carried_over_is_started_there(world: World) -> None:
    outcome = run(world, **MOVE, migration=Mover(world))
    assert world.log == ["prepare", "stop", "carry", "restart", "start web"]
    assert (outcome.containers_restarted, states(world)) == (["web"], ["committed"])


def test_what_cannot_be_carried_is_refused_before_anything(world: World) -> None:
    assert "no room" in str(failure(world, **MOVE, migration=Mover(world, "prepare")))
    assert (world.log, world.host.read(PATH), states(world)) == (["prepare"], FOREIGN, [])


def test_what_fails_while_it_is_carried_leaves_the_old_root(world: World) -> None:
    assert "no room; the previous configuration is restored" in str(failure(world, **MOVE, migration=Mover(world, "carry")))
    assert world.log == ["prepare", "stop", "carry", "restart", "start web"]
    assert (world.host.read(PATH), world.containers["web"]) == (FOREIGN, "running")


def test_a_carried_root_that_an_engine_has_tried_is_put_aside(world: World) -> None:
    world.poison = "userns"
    failed = failure(world, **MOVE, migration=Mover(world))
    assert not world.host.path(Mover.root).exists()
    assert any("which the engine has used" in warning for warning in failed.outcome.warnings)
    assert world.host.path(f"/var/lib/docker/.231072.231072.undone-{failed.outcome.transaction}").is_dir()


def test_a_run_that_died_once_the_engine_had_the_carried_root_is_finished(world: World) -> None:
    dead = Transaction.begin(world.host, [PATH], {"running": True, "containers": [{"id": "web", "name": "web"}], "moves_to": "/r/1.1"})
    dead.write(PATH, '{"debug": true, "userns-remap": "default"}')
    world.root, world.containers = "/r/1.1", {"web": "exited"}
    outcome = run(world, options={"userns-remap": "default"})
    assert (outcome.recovered, outcome.changed) == ([dead.id], True)
    assert world.containers["web"] == "running"
    assert "userns-remap" in (world.host.read(PATH) or "")
    assert states(world)[0] == "committed"


def test_reloadable_keys_need_no_restart(world: World) -> None:
    outcome = run(world, options={"live-restore": True})
    assert (outcome.reloaded, outcome.restarted, world.log) == (True, False, ["reload"])


def test_a_reload_that_is_not_taken_over_is_undone(world: World) -> None:
    world.deaf = True
    failed = failure(world, options={"debug": False})
    assert "the engine rejects the new configuration: Error reconfiguring the daemon: no; the previous configuration is restored" in str(failed)
    assert (world.host.read(PATH), world.active) == (FOREIGN, "active")


@pytest.mark.parametrize(("restart", "log"), [("never", []), ("always", ["reload", "restart"])])
def test_restart_is_a_choice(world: World, restart: str, log: list[str]) -> None:
    run(world, restart=restart)
    assert world.log == log


def test_always_restarts_without_a_change(world: World) -> None:
    run(world)
    world.log.clear()
    outcome = run(world, restart="always")
    assert (outcome.changed, outcome.restarted, world.log) == (True, True, ["restart"])


def test_a_seccomp_profile_newer_than_the_engine_needs_a_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = world.host.path("/etc/docker/p.json")
    profile.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    options = {"seccomp-profile": "/etc/docker/p.json", "live-restore": True}
    run(world, options=options)
    assert not run(world, options=options).changed
    monkeypatch.setattr(change, "read_start_time", lambda *unused: profile.stat().st_mtime - 60)
    assert run(world, options=options).restarted


def test_giving_up_everything_leaves_nothing(world: World) -> None:
    world.host.path(PATH).unlink()
    run(world, pids_limit=100)
    run(world, options={}, pids_limit=0)
    assert (world.host.read(PATH), world.host.read(drop_in.PATH)) == (None, None)
    assert state.load(world.host, "daemon") == {}


@pytest.mark.parametrize(
    ("path", "text", "sentence"),
    [
        (PATH, '{"icc": tru}', "line 1, column 9"),
        ("/var/lib/bulkhead/daemon.json", "{", "not valid JSON"),
    ],
)
def test_files_that_cannot_be_understood(world: World, path: str, text: str, sentence: str) -> None:
    world.host.path(path).parent.mkdir(exist_ok=True)
    world.host.path(path).write_text(text)
    assert f"{path}: " in str(failure(world)) and sentence in str(failure(world))


def test_a_flag_that_clashes_is_named_with_its_file(world: World) -> None:
    world.host.path("/etc/systemd/system/docker.service").write_text("[Service]\nExecStart=/usr/sbin/dockerd --icc=true\n")
    assert "icc is also set by --icc=true in /etc/systemd/system/docker.service" in str(failure(world))


def test_a_stopped_engine_is_started_when_asked(world: World) -> None:
    world.active = "inactive"
    outcome = run(world, start=True)
    assert outcome.started and outcome.changed and world.active == "active"
    world.active = "inactive"
    assert run(world, start=True).started, "also where no file differs"


def test_an_engine_that_does_not_start_is_stopped_again_and_its_files_come_back(world: World) -> None:
    world.active, world.poison = "inactive", "live-restore"
    error = failure(world, start=True)
    assert "failed to start daemon: bad thing" in str(error) and error.outcome.rolled_back
    assert world.host.read(PATH) == FOREIGN
    assert world.log[-1] == "stop"


def test_a_rootless_engines_files_are_its_own(world: World) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    world.host.path("/home/u").mkdir(parents=True)
    run(world, instance=user, options={"icc": False}, pids_limit=100)
    assert json.loads(world.host.read(user.config) or "") == {"icc": False}
    assert world.host.path(user.config).stat().st_mode & 0o777 == 0o600
    assert world.host.read(user.drop_in) == drop_in.render_drop_in(100)
    assert state.load(world.host, "daemon-u")["files"].keys() == {user.config}
    assert world.host.read(PATH) == FOREIGN and state.load(world.host, "daemon") == {}


def test_a_user_does_not_choose_which_file_root_writes(world: World) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    error = failure(world, instance=user, path=PATH, options={"debug": False})
    assert str(error).startswith(f"nothing was changed: {PATH}: ") and "outside of /home/u" in str(error)
    assert world.host.read(PATH) == FOREIGN and world.log == [] and states(world) == []


def test_the_last_change_is_taken_back_to_the_byte_and_then_the_one_before(world: World) -> None:
    run(world, options={"icc": False})
    first = world.host.read(PATH)
    run(world, options={"icc": False, "no-new-privileges": True}, pids_limit=100)
    checked = run(world, revert=True, check=True)
    assert checked.diff.keys() == {PATH, drop_in.PATH}
    outcome = run(world, revert=True)
    assert (outcome.changed, world.host.read(PATH), world.host.read(drop_in.PATH)) == (True, first, None)
    assert run(world, options={"icc": False}).changed is False, "what is remembered went back as well"
    run(world, revert=True)
    assert (world.host.read(PATH), state.load(world.host, "daemon")) == (FOREIGN, {})
    assert "there is no change" in str(failure(world, revert=True))


def test_a_change_that_others_built_on_is_not_taken_back(world: World) -> None:
    run(world, options={"icc": False})
    world.host.path(PATH).write_text('{"mine": 1}')
    assert f"{PATH} was edited after change" in str(failure(world, revert=True))
    assert world.host.read(PATH) == '{"mine": 1}'


def test_a_change_of_root_is_taken_back_only_when_asked(world: World) -> None:
    run(world, options={"data-root": "/srv"}, stop_containers=True)
    assert "gave the engine another data root (data-root)" in str(failure(world, revert=True))
    run(world, revert=True, stop_containers=True)
    assert world.host.read(PATH) == FOREIGN
