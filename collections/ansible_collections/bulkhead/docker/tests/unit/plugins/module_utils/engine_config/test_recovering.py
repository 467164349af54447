# SPDX-License-Identifier: GPL-3.0-or-later
"""Interrupted runs are undone, finished, or left."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import recovery
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.transaction import Transaction, list_open

from .fake_host import PATH, UNMANAGED, FakeHost, failure, run, states


@pytest.mark.parametrize("steps", [[], ["restart"], ["daemon-reload", "restart"]])
def test_interrupted_change_is_undone_first(fake: FakeHost, steps: list[str]) -> None:
    interrupted = Transaction.begin(fake.host, [PATH, ROOTFUL.drop_in], {"running": True, "containers": [{"id": "web", "name": "web"}]})
    interrupted.write(PATH, '{"half": true}')
    for step in steps:
        interrupted.record_step(step)
    if steps:
        fake.active, fake.containers = "failed", {"web": "exited"}
    outcome = run(fake)
    assert outcome.recovered == [interrupted.id]
    assert json.loads(fake.host.read(PATH) or "") == {"debug": True, "icc": False, "live-restore": True}
    assert fake.containers["web"] == "running"
    assert list_open(fake.host) == []


def make_edited_interruption(fake: FakeHost) -> Transaction:
    """Return the transaction of an interrupted run whose daemon.json was edited since."""
    interrupted = Transaction.begin(fake.host, [PATH], {"running": True, "containers": [{"id": "web", "name": "web"}]})
    interrupted.write(PATH, '{"icc": false}')
    fake.host.path(PATH).write_text('{"icc": false, "dns": ["1.1.1.1"]}')
    return interrupted


def test_edit_that_the_engine_runs_with_is_left(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = make_edited_interruption(fake)
    fake.containers["web"] = "exited"
    monkeypatch.setattr(recovery, "read_start_time", lambda *unused: time.time() + 10)
    outcome = run(fake, recover=True)
    assert (outcome.recovered, outcome.changed, fake.log, states(fake)) == ([], False, [], ["left"])
    assert json.loads(fake.host.read(PATH) or "")["dns"] == ["1.1.1.1"]
    assert any(f"({interrupted.id}); {PATH} has been edited since" in warning for warning in outcome.warnings)
    assert "there is no change" in str(failure(fake, revert=True))


@pytest.mark.parametrize("started", [None, 1.0])
def test_edit_that_no_engine_ran_with_is_copied(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, started: float | None) -> None:
    interrupted = make_edited_interruption(fake)
    monkeypatch.setattr(recovery, "read_start_time", lambda *unused: started)
    outcome = run(fake, recover=True)
    assert (fake.host.read(PATH), states(fake)) == (UNMANAGED, ["undone"])
    copy = interrupted.folder / "edited-0"
    assert json.loads(copy.read_text())["dns"] == ["1.1.1.1"]
    assert any(f"the edited file is kept as {copy}" in warning for warning in outcome.warnings)


@pytest.mark.parametrize(("after", "log"), [(7200, []), (60, ["start web"])])
def test_container_stopped_long_after_stays_stopped(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, after: int, log: list[str]) -> None:
    interrupted = Transaction.begin(fake.host, [PATH], {"running": True, "containers": [{"id": "web", "name": "web"}]})
    interrupted.write(PATH, '{"icc": false}')
    fake.containers["web"] = "exited"
    fake.ended = datetime.fromtimestamp(time.time() + after, UTC).isoformat()
    monkeypatch.setattr(recovery, "read_start_time", lambda *unused: 1.0)
    outcome = run(fake, recover=True)
    assert (fake.log, fake.host.read(PATH)) == (log, UNMANAGED)
    assert any("not started again" in warning for warning in outcome.warnings) == (not log)


def test_interrupted_run_with_migrated_root_is_finished(fake: FakeHost) -> None:
    interrupted = Transaction.begin(
        fake.host, [PATH], {"running": True, "containers": [{"id": "web", "name": "web"}], "moves_to": "/r/1.1"}
    )
    interrupted.write(PATH, '{"debug": true, "userns-remap": "default"}')
    fake.root, fake.containers = "/r/1.1", {"web": "exited"}
    outcome = run(fake, options={"userns-remap": "default"})
    assert (outcome.recovered, outcome.changed) == ([interrupted.id], True)
    assert fake.containers["web"] == "running"
    assert "userns-remap" in (fake.host.read(PATH) or "")
    assert states(fake)[0] == "committed"
