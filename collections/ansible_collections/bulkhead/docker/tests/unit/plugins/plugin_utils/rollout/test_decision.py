# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions of a rollout. A host may be skipped only if its verification is recent and of the same state."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Effect
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import decision

from .samples import EXPECT, NOW, make_decision, make_last_report, make_layer, make_plan, make_report


def decide(last: dict[str, Any] | None, more: dict[str, Any] | None = None, **asked: Any) -> str:
    return str(decision.decide_host("web", make_plan(**(more or {})), (), {}, make_last_report(last, **asked))["decision"])


def make_report_with(status: str, name: str = "seccomp") -> dict[str, Any]:
    found = make_report()
    next(entry for entry in found["verification"]["layers"] if entry["layer"] == name)["status"] = status
    return found


def test_a_recently_verified_host_as_desired_is_skipped() -> None:
    found = decision.decide_host("web", make_plan(), (), {}, make_last_report(make_report()))
    assert (found["decision"], found["why"], found["stops"]) == (decision.SKIPPED, "as desired and verified 10 min ago", False)


@pytest.mark.parametrize(
    "last",
    [
        None,
        make_report(3700),  # too old
        make_report(-60),  # in the future: a clock is wrong
        make_report(verification={}),
        make_report(verification={**make_report()["verification"], "probe": False}),
        make_report(verification={**make_report()["verification"], "at": NOW - 6000}),  # older than the start of the engine
        make_report(failure={"task": "x", "msg": "y"}),
        make_report(expected={}),  # of a version that kept no expectations
        make_report(expected=decision.hash_expectations({**EXPECT, "pids_limit": {"requirement": "required", "limit": 5}})),
        make_report(
            expected=decision.hash_expectations({**EXPECT, "containers": {"web": {}}})
        ),  # a container was required that is no longer
        make_report_with("degraded"),
        make_report_with("unknown"),
    ],
)
def test_no_other_report_lets_a_host_be_skipped(last: dict[str, Any] | None) -> None:
    assert decide(last) == decision.INCLUDED


@pytest.mark.parametrize(
    "more",
    [
        {"layers": {"pids_limit": make_layer("change")}},
        {"layers": {"pids_limit": make_layer(with_engine="set it")}},
        {"warnings": ["somebody else's drop-in wins"]},
    ],
)
def test_a_plan_with_changes_or_warnings_is_included(more: dict[str, Any]) -> None:
    assert decide(make_report(), more) == decision.INCLUDED


def test_a_host_with_a_stopped_engine_is_included() -> None:
    stopped = make_plan()["observed"]
    stopped["engine"]["started_at"] = None
    assert decide(make_report(), {"observed": stopped}) == decision.INCLUDED


def test_no_host_is_skipped_without_resume() -> None:
    assert decide(make_report(0)) == decision.SKIPPED
    assert decide(make_report(0), minutes=0.0) == decision.INCLUDED


def test_a_run_of_one_layer_needs_only_its_verification() -> None:
    assert decide(make_report_with("absent"), selected=["pids_limit"]) == decision.SKIPPED
    assert decide(make_report_with("absent"), selected=["seccomp"]) == decision.INCLUDED
    other = decision.hash_expectations({**EXPECT, "seccomp": {"requirement": "optional"}})
    assert decide(make_report(expected=other), selected=["pids_limit"]) == decision.SKIPPED


@pytest.mark.parametrize(
    ("groups", "batch"),
    [
        (["docker_hosts"], "fleet"),
        (["canary"], "canary"),
        (["validation"], "validation"),
        (["fleet", "canary", "validation"], "validation"),
    ],
)
def test_a_host_belongs_to_the_first_of_its_batches(groups: list[str], batch: str) -> None:
    assert decision.choose_batch(groups) == batch


@pytest.mark.parametrize(
    ("found", "groups", "switches", "expected"),
    [
        ({"unreachable": True, "msg": "no route"}, [], {}, (decision.UNREACHABLE, False)),
        ({"unreachable": True, "msg": "no route"}, ["canary"], {}, (decision.UNREACHABLE, True)),
        ({"unreachable": True, "msg": "no route"}, ["validation"], {"bulkhead_unreachable": "leave_out"}, (decision.UNREACHABLE, False)),
        ({"unreachable": True, "msg": "no route"}, [], {"bulkhead_unreachable": "stop"}, (decision.UNREACHABLE, True)),
        ({"blockers": ["no"], "msg": "Nothing was changed. no"}, [], {}, (decision.BLOCKED, True)),
        ({"blockers": ["no"], "msg": "Nothing was changed. no"}, [], {"bulkhead_blocked": "leave_out"}, (decision.BLOCKED, False)),
        ({"msg": "no python"}, [], {}, (decision.BLOCKED, True)),
        ({}, [], {}, (decision.BLOCKED, True)),
    ],
)
def test_which_hosts_stop_a_rollout(found: dict[str, Any], groups: list[str], switches: dict[str, str], expected: tuple[str, bool]) -> None:
    found = decision.decide_host("web", found, groups, switches, make_last_report(make_report()))
    assert (found["decision"], found["stops"]) == expected
    assert found["why"]


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
def test_invalid_switches_are_a_problem(variables: dict[str, Any], words: str) -> None:
    found = decision.find_switch_problem(variables)
    assert found.startswith(words) if words else found == ""


def test_names_of_containers_are_data() -> None:
    # The text ends with what looks like names, but only the list has names.
    effect = Effect("icc: false: web, db", ["web"], {"web": "80/tcp (x)"})
    assert effect == "icc: false: web, db: web (80/tcp (x))"
    found = make_decision(effects=[effect])["effects"]
    assert found == [{"text": "icc: false: web, db", "containers": ["web"], "details": {"web": "80/tcp (x)"}}]
