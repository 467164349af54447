# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a host in a rollout. A host that is spared its batch must be verified; everything that could make the verification another's counts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import decision

from .samples import EXPECT, NOW, layer, plan, report, verification


def fate(last: dict[str, Any] | None, more: dict[str, Any] | None = None, **asked: Any) -> str:
    return str(decision.make("web", plan(**(more or {})), (), {}, verification(last, **asked))["fate"])


def without(status: str, name: str = "seccomp") -> dict[str, Any]:
    found = report()
    next(entry for entry in found["verification"]["layers"] if entry["layer"] == name)["status"] = status
    return found


def test_a_host_that_is_as_wanted_and_was_proven_is_spared() -> None:
    found = decision.make("web", plan(), (), {}, verification(report()))
    assert (found["fate"], found["why"], found["stops"]) == (decision.VERIFIED, "as desired, and verified 10 min ago", False)


@pytest.mark.parametrize(
    "last",
    [
        None,
        report(3700),  # too old
        report(-60),  # of the future: a clock is wrong
        report(verification={}),
        report(verification={**report()["verification"], "probe": False}),
        report(verification={**report()["verification"], "at": NOW - 6000}),  # of an engine that ran before this one
        report(failure={"task": "x", "msg": "y"}),
        report(expected={}),  # of a time when nobody wrote down what it was held against
        report(expected=decision.digests({**EXPECT, "pids_limit": {"requirement": "required", "limit": 5}})),
        report(expected=decision.digests({**EXPECT, "containers": {"web": {}}})),  # a container was demanded that is not any more
        without("degraded"),
        without("unknown"),
    ],
)
def test_no_other_report_spares_a_host(last: dict[str, Any] | None) -> None:
    assert fate(last) == decision.TAKE


@pytest.mark.parametrize(
    "more",
    [
        {"layers": {"pids_limit": layer("change")}},
        {"layers": {"pids_limit": layer(with_engine="set it")}},
        {"warnings": ["somebody else's drop-in wins"]},
    ],
)
def test_a_plan_that_has_or_warns_of_something_is_gone_to(more: dict[str, Any]) -> None:
    assert fate(report(), more) == decision.TAKE


def test_an_engine_that_does_not_run_is_gone_to() -> None:
    stopped = plan()["observed"]
    stopped["engine"]["started_at"] = None
    assert fate(report(), {"observed": stopped}) == decision.TAKE


def test_nobody_is_spared_when_that_is_not_wanted() -> None:
    assert fate(report(0)) == decision.VERIFIED
    assert fate(report(0), minutes=0.0) == decision.TAKE


def test_a_run_that_is_about_one_layer_asks_for_the_proof_of_that_layer() -> None:
    assert fate(without("absent"), selected=["pids_limit"]) == decision.VERIFIED
    assert fate(without("absent"), selected=["seccomp"]) == decision.TAKE
    other = decision.digests({**EXPECT, "seccomp": {"requirement": "optional"}})
    assert fate(report(expected=other), selected=["pids_limit"]) == decision.VERIFIED


@pytest.mark.parametrize(
    ("groups", "batch"),
    [
        (["docker_hosts"], "fleet"),
        (["canary"], "canary"),
        (["validation"], "validation"),
        (["fleet", "canary", "validation"], "validation"),
    ],
)
def test_a_host_goes_with_the_first_of_its_batches(groups: list[str], batch: str) -> None:
    assert decision.batch_of(groups) == batch


@pytest.mark.parametrize(
    ("found", "groups", "switches", "fate_and_stops"),
    [
        ({"unreachable": True, "msg": "no route"}, [], {}, (decision.UNREACHABLE, False)),
        ({"unreachable": True, "msg": "no route"}, ["canary"], {}, (decision.UNREACHABLE, True)),
        ({"unreachable": True, "msg": "no route"}, ["validation"], {"bulkhead_unreachable": "leave_out"}, (decision.UNREACHABLE, False)),
        ({"unreachable": True, "msg": "no route"}, [], {"bulkhead_unreachable": "stop"}, (decision.UNREACHABLE, True)),
        ({"blockers": ["no"], "msg": "Nothing was changed. no"}, [], {}, (decision.REFUSED, True)),
        ({"blockers": ["no"], "msg": "Nothing was changed. no"}, [], {"bulkhead_blocked": "leave_out"}, (decision.REFUSED, False)),
        ({"msg": "no python"}, [], {}, (decision.REFUSED, True)),
        ({}, [], {}, (decision.REFUSED, True)),
    ],
)
def test_who_stops_a_rollout(found: dict[str, Any], groups: list[str], switches: dict[str, str], fate_and_stops: tuple[str, bool]) -> None:
    made = decision.make("web", found, groups, switches, verification(report()))
    assert (made["fate"], made["stops"]) == fate_and_stops
    assert made["why"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ""),
        ({"bulkhead_blocked": "stop", "other": 1}, ""),
        ({"bulkhead_blocked": "stop", "bulkhead_target": "web", "bulkhead_observed": {}, "bulkhead_fleet": {}, "target": "db"}, ""),
        ({"bulkhead_blocked": "skip"}, "bulkhead_blocked: 'skip' is not valid; write stop or leave_out"),
        ({"bulkhead_unreachable": True}, "bulkhead_unreachable: True is not valid; write stop or leave_out"),
        ({"bulkhead_blockd": "stop"}, "bulkhead_blockd: is not a known variable; write bulkhead_blocked, or rename it if it is your own"),
        ({"rollout_refused": "leave_out"}, "rollout_refused: was renamed; write bulkhead_blocked"),
    ],
)
def test_bad_switches(variables: dict[str, Any], words: str) -> None:
    found = decision.problem(variables)
    assert found.startswith(words) if words else found == ""


@pytest.mark.parametrize(
    ("text", "names", "containers"),
    [
        ("the engine is restarted; its containers stop: web, db", ["db", "web"], ["web", "db"]),
        ("the engine is restarted; no container runs", [], []),
        ("note: web", ["db"], []),
        ("one: two: web", ["web"], ["web"]),
    ],
)
def test_the_containers_of_an_effect(text: str, names: list[str], containers: list[str]) -> None:
    found = decision.effect(text, names)
    assert found["containers"] == containers
    assert text == (f"{found['text']}: {', '.join(containers)}" if containers else found["text"])
