# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed changes are undone."""

from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state

from .world import PATH, UNMANAGED, World, failure, states


def test_configuration_that_does_not_start_is_undone(world: World) -> None:
    world.rejected_text = "bogus"
    failed = failure(world, options={"storage-driver": "bogus"}, pids_limit=50, own_checks=False, stop_containers=True)
    assert "failed to start daemon: bad thing; the previous configuration is restored and the engine runs with it" in str(failed)
    assert failed.outcome.rolled_back and not failed.outcome.changed
    assert (world.host.read(PATH), world.host.read(ROOTFUL.drop_in)) == (UNMANAGED, None)
    assert world.active == "active" and world.containers["web"] == "running"
    assert world.log == ["daemon-reload", "restart", "daemon-reload", "restart", "start web"]
    assert states(world) == ["undone"]
    assert state.load(world.host, "daemon") == {}


def test_container_that_does_not_start_undoes_the_change(world: World) -> None:
    world.broken_container = "web"
    failed = failure(world, options={"icc": False})
    assert "container web does not start again: no such device" in str(failed)
    assert world.host.read(PATH) == UNMANAGED
    assert any("do not run again: web" in warning for warning in failed.outcome.warnings)


def test_rejected_reload_is_undone(world: World) -> None:
    world.rejects_reload = True
    failed = failure(world, options={"debug": False})
    assert "the engine rejects the new configuration: Error reconfiguring the daemon: no; the previous configuration is restored" in str(
        failed
    )
    assert (world.host.read(PATH), world.active) == (UNMANAGED, "active")


def test_engine_that_was_stopped_and_does_not_start(world: World) -> None:
    world.active, world.rejected_text = "inactive", "live-restore"
    error = failure(world, start=True)
    assert "failed to start daemon: bad thing" in str(error) and error.outcome.rolled_back
    assert world.host.read(PATH) == UNMANAGED
    assert world.log[-1] == "stop"
