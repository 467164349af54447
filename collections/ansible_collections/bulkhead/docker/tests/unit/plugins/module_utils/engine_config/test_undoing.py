# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed changes are undone."""

from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state

from .fake_host import PATH, UNMANAGED, FakeHost, failure, states


def test_configuration_that_does_not_start_is_undone(fake: FakeHost) -> None:
    fake.rejected_text = "bogus"
    failed = failure(fake, options={"storage-driver": "bogus"}, pids_limit=50, own_checks=False, stop_containers=True)
    assert "failed to start daemon: bad thing; the previous configuration is restored and the engine runs with it" in str(failed)
    assert failed.outcome.rolled_back and not failed.outcome.changed
    assert (fake.host.read(PATH), fake.host.read(ROOTFUL.drop_in)) == (UNMANAGED, None)
    assert fake.active == "active" and fake.containers["web"] == "running"
    assert fake.log == ["daemon-reload", "restart", "daemon-reload", "restart", "start web"]
    assert states(fake) == ["undone"]
    assert state.load(fake.host, "daemon") == {}


def test_container_that_does_not_start_undoes_the_change(fake: FakeHost) -> None:
    fake.broken_container = "web"
    failed = failure(fake, options={"icc": False})
    assert "container web does not start again: no such device" in str(failed)
    assert fake.host.read(PATH) == UNMANAGED
    assert any("do not run again: web" in warning for warning in failed.outcome.warnings)


def test_rejected_reload_is_undone(fake: FakeHost) -> None:
    fake.rejects_reload = True
    failed = failure(fake, options={"debug": False})
    assert "the engine rejects the new configuration: Error reconfiguring the daemon: no; the previous configuration is restored" in str(
        failed
    )
    assert (fake.host.read(PATH), fake.active) == (UNMANAGED, "active")


def test_engine_that_was_stopped_and_does_not_start(fake: FakeHost) -> None:
    fake.active, fake.rejected_text = "inactive", "live-restore"
    error = failure(fake, start=True)
    assert "failed to start daemon: bad thing" in str(error) and error.outcome.rolled_back
    assert fake.host.read(PATH) == UNMANAGED
    assert fake.log[-1] == "stop"
