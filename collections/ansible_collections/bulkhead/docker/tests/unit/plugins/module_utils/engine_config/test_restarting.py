# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart, reload and start of the engine, and what happens to its containers."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import change

from .fake_host import PATH, UNMANAGED, FakeHost, failure, run


def test_running_containers_are_started_again(fake: FakeHost) -> None:
    outcome = run(fake, options={"icc": False})
    assert outcome.containers_restarted == ["web"]
    assert fake.log == ["restart", "start web"]


@pytest.mark.parametrize(("live_restore", "log"), [(True, ["reload", "restart"]), (False, ["restart", "start web"])])
def test_job_that_completes_during_the_restart(fake: FakeHost, live_restore: bool, log: list[str]) -> None:
    fake.complete = True
    assert run(fake, options={"icc": False, "live-restore": live_restore}).restarted
    assert fake.log == log


def test_stopped_engine_stays_stopped(fake: FakeHost) -> None:
    fake.active = "inactive"
    outcome = run(fake, pids_limit=100)
    assert outcome.changed and not outcome.restarted
    assert any("stays so" in notice for notice in outcome.notices)
    assert fake.log == ["daemon-reload"]


def test_switch_of_root_needs_permission_to_stop_containers(fake: FakeHost) -> None:
    failed = failure(fake, options={"data-root": "/srv"})
    assert "no longer manage the running containers web" in str(failed)
    assert (fake.host.read(PATH), fake.log) == (UNMANAGED, [])


@pytest.mark.parametrize(("live_restore", "log"), [(False, ["restart"]), (True, ["stop web", "restart"])])
def test_containers_stay_stopped_under_another_root(fake: FakeHost, live_restore: bool, log: list[str]) -> None:
    fake.live_restore = live_restore
    fake.is_new_root_empty = True
    assert run(fake, options={"data-root": "/srv"}, stop_containers=True).restarted
    assert fake.log == log


def test_containers_that_the_other_root_has_are_started(fake: FakeHost) -> None:
    assert run(fake, options={"data-root": "/srv"}, stop_containers=True).containers_restarted == ["web"]
    assert fake.log == ["restart", "start web"]


def test_reloadable_keys_need_no_restart(fake: FakeHost) -> None:
    outcome = run(fake, options={"live-restore": True})
    assert (outcome.reloaded, outcome.restarted, fake.log) == (True, False, ["reload"])


@pytest.mark.parametrize(("restart", "log"), [("never", []), ("always", ["reload", "restart"])])
def test_option_restart(fake: FakeHost, restart: str, log: list[str]) -> None:
    run(fake, restart=restart)
    assert fake.log == log


def test_restart_always_without_a_change(fake: FakeHost) -> None:
    run(fake)
    fake.log.clear()
    outcome = run(fake, restart="always")
    assert (outcome.changed, outcome.restarted, fake.log) == (True, True, ["restart"])


def test_newer_seccomp_profile_needs_a_restart(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = fake.host.path("/etc/docker/p.json")
    profile.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    options = {"seccomp-profile": "/etc/docker/p.json", "live-restore": True}
    run(fake, options=options)
    assert not run(fake, options=options).changed
    monkeypatch.setattr(change, "read_start_time", lambda *unused: profile.stat().st_mtime - 60)
    assert run(fake, options=options).restarted


def test_option_start(fake: FakeHost) -> None:
    fake.active = "inactive"
    outcome = run(fake, start=True)
    assert outcome.started and outcome.changed and fake.active == "active"
    fake.active = "inactive"
    assert run(fake, start=True).started, "also where no file differs"
