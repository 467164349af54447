# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers before and after a change of the engine's configuration: which got worse, and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import comparison

from .fake_host import PATH, UNMANAGED, FakeHost, failure, run, states

Inspect = Callable[[], dict[str, Any]]
ICC = {"icc": False}


def make_inspect(
    health: str = "none", status: str = "running", restarts: int = 0, code: int = 0, check: int | None = None
) -> dict[str, Any]:
    """Return an inspection. check: the exit code of a health check that ran just now."""
    log = [] if check is None else [{"Start": datetime.fromtimestamp(time.time() + 1, UTC).isoformat(), "ExitCode": check}]
    state = {"Status": status, "ExitCode": code, "FinishedAt": "", "Health": {"Status": health, "Log": log} if health != "none" else None}
    config = {"Healthcheck": {"Interval": 10e9, "Timeout": 1e9, "Retries": 2, "StartPeriod": 5e9}}
    return {"State": state, "Config": config, "RestartCount": restarts}


def returns(**arguments: Any) -> Inspect:
    return lambda: make_inspect(**arguments)


def make_looping() -> Inspect:
    times: list[float] = []

    def inspect() -> dict[str, Any]:
        times.append(time.monotonic())
        return make_inspect(status="restarting", restarts=int((times[-1] - times[0]) // 2.5), code=1)

    return inspect


@pytest.mark.parametrize(
    ("before", "after", "condition"),
    [
        ("healthy", returns(health="unhealthy"), "unhealthy"),
        ("healthy", returns(health="starting"), "starting"),
        ("healthy", returns(status="exited", code=137), "exited (137)"),
        ("none", returns(status="exited", code=1), "exited (1)"),
        ("unhealthy", returns(status="exited", code=1), "exited (1)"),
        ("none", make_looping(), "restarting (1 times in 3 s, exit code 1)"),
    ],
)
def test_a_container_that_got_worse_is_named(fake: FakeHost, before: str, after: Inspect, condition: str) -> None:
    fake.inspects_before["web"], fake.inspects_after["web"] = returns(health=before), after
    outcome = run(fake, options=ICC)
    assert outcome.containers_worse == [{"name": "web", "before": "running" if before == "none" else before, "after": condition}]
    assert any("web" in warning and condition in warning for warning in outcome.warnings)
    assert states(fake) == ["committed"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("none", returns()),
        ("healthy", returns(health="healthy", check=0)),
        ("starting", returns(health="unhealthy")),
        ("unhealthy", returns(health="unhealthy")),
        ("unhealthy", returns(health="starting")),
        ("none", returns(status="exited", code=0)),
    ],
)
def test_a_container_as_before_is_not_worse(fake: FakeHost, before: str, after: Inspect) -> None:
    fake.inspects_before["web"], fake.inspects_after["web"] = returns(health=before), after
    outcome = run(fake, options=ICC)
    assert (outcome.containers_worse, outcome.warnings) == ([], [])


@pytest.mark.parametrize("health", ["starting", "healthy"])
def test_a_check_that_is_slower_than_the_limit_is_unknown(fake: FakeHost, health: str) -> None:
    fake.inspects_before["web"], fake.inspects_after["web"] = returns(health="healthy"), returns(health=health)
    outcome = run(fake, options=ICC, containers_worse="undo", containers_wait=10)
    assert (outcome.containers_worse, states(fake)) == ([], ["committed"])
    assert any("not known: web" in warning and "10 s" in warning for warning in outcome.warnings)


def test_a_container_that_was_looping_is_not_compared(fake: FakeHost) -> None:
    fake.inspects_before["web"] = lambda: make_inspect(status="restarting", restarts=7)
    fake.inspects_after["web"] = make_looping()
    assert run(fake, options=ICC).containers_worse == []


@pytest.mark.parametrize("reaction", ["fail", "undo"])
def test_an_unchanged_container_stops_nothing(fake: FakeHost, reaction: str) -> None:
    assert run(fake, options=ICC, containers_worse=reaction).changed
    assert states(fake) == ["committed"]


def test_fail_keeps_the_change(fake: FakeHost) -> None:
    fake.inspects_before["web"], fake.inspects_after["web"] = returns(health="healthy"), returns(health="unhealthy")
    failed = failure(fake, options=ICC, containers_worse="fail")
    assert "web (healthy before, unhealthy now)" in str(failed) and "the change stays" in str(failed)
    assert (failed.outcome.changed, failed.outcome.rolled_back, states(fake)) == (True, False, ["committed"])
    assert [entry["name"] for entry in failed.outcome.containers_worse] == ["web"]


def test_undo_restores_files_and_engine(fake: FakeHost) -> None:
    fake.inspects_before["web"], fake.inspects_after["web"] = returns(health="healthy"), returns(health="unhealthy")
    failed = failure(fake, options=ICC, containers_worse="undo")
    assert "web (healthy before, unhealthy now)" in str(failed) and "did not start" not in str(failed)
    assert "previous configuration is restored" in str(failed)
    assert (failed.outcome.changed, failed.outcome.rolled_back, states(fake)) == (False, True, ["undone"])
    assert (fake.host.read(PATH), fake.log.count("restart"), fake.containers["web"]) == (UNMANAGED, 2, "running")
    assert [entry["name"] for entry in failed.outcome.containers_worse] == ["web"]


def test_a_removed_container_is_reported_and_not_undone(fake: FakeHost) -> None:
    def removed() -> dict[str, Any]:
        raise EngineError(404, "no such container")

    fake.inspects_after["web"] = removed
    outcome = run(fake, options=ICC, containers_worse="undo")
    assert (outcome.containers_worse, states(fake)) == ([{"name": "web", "before": "running", "after": "removed"}], ["committed"])


def test_a_reload_is_not_compared(fake: FakeHost) -> None:
    began = time.monotonic()
    outcome = run(fake, options={"live-restore": True})
    assert outcome.reloaded and time.monotonic() - began < comparison._SETTLE


@pytest.mark.parametrize(
    ("limit", "seconds"),
    # 5 s start period and twice (10 s interval and 1 s timeout) are the check's own time.
    [(90, 30), (12, 12), (2, 2)],
)
def test_waits_for_the_check_and_no_longer(fake: FakeHost, limit: float, seconds: float) -> None:
    fake.inspects_before["web"], fake.inspects_after["web"] = returns(health="healthy"), returns(health="healthy")
    began = time.monotonic()
    comparison.find_worse(fake, [{"id": "web", "name": "web", "condition": "healthy"}], time.time(), limit)  # type: ignore[arg-type]
    assert seconds <= time.monotonic() - began < seconds + 3


@pytest.mark.parametrize(("check", "waits"), [(0, False), (1, True)])
def test_a_new_result_of_the_check_ends_the_wait(fake: FakeHost, check: int, waits: bool) -> None:
    fake.inspects_before["web"] = returns(health="healthy", check=check)
    began = time.monotonic()
    comparison.find_worse(fake, [{"id": "web", "name": "web", "condition": "healthy"}], time.time(), 20)  # type: ignore[arg-type]
    assert (time.monotonic() - began > 15) is waits


@pytest.mark.parametrize(("check", "waits"), [({"Interval": 60e9}, False), ({"Interval": 60e9, "StartPeriod": 1e9}, True), ({}, False)])
def test_a_check_that_comes_after_the_limit_is_not_awaited(fake: FakeHost, check: dict[str, float], waits: bool) -> None:
    fake.inspects_before["web"] = lambda: {**make_inspect(health="healthy"), "Config": {"Healthcheck": {"Test": ["CMD", "x"], **check}}}
    began = time.monotonic()
    found = comparison.find_worse(fake, [{"id": "web", "name": "web", "condition": "healthy"}], time.time(), 20)  # type: ignore[arg-type]
    assert found == ([], ["web"]), "it is reported as not known"
    assert (time.monotonic() - began >= 20) is waits


@pytest.mark.parametrize(
    ("changed", "started", "seconds"),
    [
        (10.0, -100.0, 0),  # it kept running, and the change began 10 s ago
        (1.0, -100.0, 2),
        (10.0, -1.0, 2),  # it was started again after the change: a loop takes that long to show
        (10.0, None, 3),
    ],
)
def test_waits_since_the_change_or_the_start(fake: FakeHost, changed: float, started: float | None, seconds: float) -> None:
    now = time.time()
    text = datetime.fromtimestamp(now + started, UTC).isoformat() if started is not None else ""
    found = make_inspect()
    found["State"]["StartedAt"] = text
    fake.inspects_before["web"] = lambda: found
    began = time.monotonic()
    comparison.find_worse(fake, [{"id": "web", "name": "web", "condition": "running"}], now, 90, now - changed)  # type: ignore[arg-type]
    assert seconds - 0.5 <= time.monotonic() - began < seconds + 1.5


def test_a_container_that_restarted_already_is_watched_longer(fake: FakeHost) -> None:
    """Measured on trixie without KVM: a service that ends 3.6 s after its start, and was restarted once before the engine answered."""
    began, now = time.monotonic(), time.time()

    def inspect() -> dict[str, Any]:
        ended = time.monotonic() - began > 3.6
        found = make_inspect(status="restarting" if ended else "running", restarts=1, code=1)
        found["State"]["StartedAt"] = datetime.fromtimestamp(now, UTC).isoformat()
        return found

    fake.inspects_before["web"] = inspect
    before = [{"id": "web", "name": "web", "condition": "running", "restarts": 0}]
    found, unknown = comparison.find_worse(fake, before, now, 90, now - 20)  # type: ignore[arg-type]
    assert ([entry["after"] for entry in found], unknown) == (["restarting"], [])
    assert comparison.find_worse(fake, [{**before[0], "condition": "restarting"}], now, 90, now - 20) == ([], [])  # type: ignore[arg-type]
