# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart, reload and start of the engine, and what happens to its containers."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import change

from .world import PATH, UNMANAGED, World, failure, run


def test_running_containers_are_started_again(world: World) -> None:
    outcome = run(world, options={"icc": False})
    assert outcome.containers_restarted == ["web"]
    assert world.log == ["restart", "start web"]


@pytest.mark.parametrize(("live_restore", "log"), [(True, ["reload", "restart"]), (False, ["restart", "start web"])])
def test_job_that_completes_during_the_restart(world: World, live_restore: bool, log: list[str]) -> None:
    world.complete = True
    assert run(world, options={"icc": False, "live-restore": live_restore}).restarted
    assert world.log == log


def test_stopped_engine_stays_stopped(world: World) -> None:
    world.active = "inactive"
    outcome = run(world, pids_limit=100)
    assert outcome.changed and not outcome.restarted
    assert any("stays so" in notice for notice in outcome.notices)
    assert world.log == ["daemon-reload"]


def test_switch_of_root_needs_permission_to_stop_containers(world: World) -> None:
    failed = failure(world, options={"data-root": "/srv"})
    assert "no longer manage the running containers web" in str(failed)
    assert (world.host.read(PATH), world.log) == (UNMANAGED, [])


@pytest.mark.parametrize(("live_restore", "log"), [(False, ["restart"]), (True, ["stop web", "restart"])])
def test_containers_stay_stopped_under_another_root(world: World, live_restore: bool, log: list[str]) -> None:
    world.live_restore = live_restore
    world.is_new_root_empty = True
    assert run(world, options={"data-root": "/srv"}, stop_containers=True).restarted
    assert world.log == log


def test_containers_that_the_other_root_has_are_started(world: World) -> None:
    assert run(world, options={"data-root": "/srv"}, stop_containers=True).containers_restarted == ["web"]
    assert world.log == ["restart", "start web"]


def test_reloadable_keys_need_no_restart(world: World) -> None:
    outcome = run(world, options={"live-restore": True})
    assert (outcome.reloaded, outcome.restarted, world.log) == (True, False, ["reload"])


@pytest.mark.parametrize(("restart", "log"), [("never", []), ("always", ["reload", "restart"])])
def test_option_restart(world: World, restart: str, log: list[str]) -> None:
    run(world, restart=restart)
    assert world.log == log


def test_restart_always_without_a_change(world: World) -> None:
    run(world)
    world.log.clear()
    outcome = run(world, restart="always")
    assert (outcome.changed, outcome.restarted, world.log) == (True, True, ["restart"])


def test_newer_seccomp_profile_needs_a_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = world.host.path("/etc/docker/p.json")
    profile.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    options = {"seccomp-profile": "/etc/docker/p.json", "live-restore": True}
    run(world, options=options)
    assert not run(world, options=options).changed
    monkeypatch.setattr(change, "read_start_time", lambda *unused: profile.stat().st_mtime - 60)
    assert run(world, options=options).restarted


def test_option_start(world: World) -> None:
    world.active = "inactive"
    outcome = run(world, start=True)
    assert outcome.started and outcome.changed and world.active == "active"
    world.active = "inactive"
    assert run(world, start=True).started, "also where no file differs"
