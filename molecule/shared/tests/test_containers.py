# SPDX-License-Identifier: GPL-3.0-or-later
"""Sabotaged and benign containers run at the same time: the report names each sabotage, and nothing else. Nothing is stopped or removed.

CI runs a part of them on a hardened host. `make soak` sets SABOTAGE_ENGINE to each engine and SABOTAGE_SET to `full`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from conftest import Verification
from container_sabotages import BENIGN, PLAIN, REMAP, ROOTLESS, SABOTAGES, SECRET, Container
from rootless import VARIABLES
from sabotaging import (
    find_mismatches,
    find_race_problems,
    find_untested_kinds,
    list_containers,
    list_expected,
    list_state,
    start_containers,
    start_loop,
    stop_containers,
    stop_loop,
)
from testinfra.host import Host

ENGINE = os.environ.get("SABOTAGE_ENGINE", REMAP)
FAST = os.environ.get("SABOTAGE_SET", "fast") == "fast"
CONTAINERS = list_containers(ENGINE, FAST)
INVENTORY = {REMAP: (), PLAIN: ("-e", "userns_remap_layer=disabled"), ROOTLESS: VARIABLES}[ENGINE]
RACES = 10


@dataclass
class ContainersResult:
    """One verification of all containers, with the errors at their start, and the engine's list of containers before and after."""

    errors: str
    before: str
    verification: Verification
    after: str


@pytest.fixture(scope="module")
def run(host: Host, verify: Callable[..., Verification]) -> Iterator[ContainersResult]:
    try:
        errors = start_containers(host.check_output, CONTAINERS, ENGINE)
        before = list_state(host.check_output, ENGINE)
        verification = verify(*INVENTORY)
        yield ContainersResult(errors, before, verification, list_state(host.check_output, ENGINE))
    finally:
        stop_containers(host.check_output, CONTAINERS, ENGINE)


def test_the_table_covers_every_kind() -> None:
    assert find_untested_kinds() == set()
    assert len(SABOTAGES) >= 40 and len(BENIGN) >= 10
    names = [container.name for container in (*BENIGN, *SABOTAGES)]
    assert len(names) == len(set(names))


def test_every_container_starts(run: ContainersResult) -> None:
    assert run.errors == ""


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.name)
def test_the_report_names_exactly_what_is_wrong(run: ContainersResult, container: Container) -> None:
    problems = find_mismatches(container, run.verification.report, ENGINE)
    assert problems == []


def test_nothing_is_stopped_restarted_or_removed(run: ContainersResult) -> None:
    assert run.after == run.before


def test_the_host_is_still_verified(run: ContainersResult) -> None:
    report = run.verification.report
    assert report["not_enforced"] == []
    assert [f["id"] for f in report["verification"]["findings"]] == []


def test_no_secret_is_in_the_report(run: ContainersResult) -> None:
    assert SECRET not in json.dumps(run.verification.report) + run.verification.output


@pytest.mark.skipif(FAST, reason="takes minutes; make soak runs it")
def test_short_containers_cause_no_finding(host: Host, verify: Callable[..., Verification], run: ContainersResult) -> None:
    """Containers start and end all the time while verification runs. `run` is requested because its containers run meanwhile."""
    known = {container.name for container in CONTAINERS}
    start_loop(host.check_output, ENGINE)
    try:
        for _attempt in range(RACES):
            verification = verify(*INVENTORY)
            assert find_race_problems(verification.report, known) == [], verification.output
            assert verification.code == run.verification.code, verification.output
    finally:
        loops = stop_loop(host.check_output, ENGINE)
    assert loops > 0, "no short container ran"


def test_forbidden_exposures_fail_the_verification(run: ContainersResult) -> None:
    report = run.verification.report
    forbidden = set(report["policy"]["forbid"])
    expected = {(c.name, kind) for c in CONTAINERS for kind in list_expected(c, ENGINE)[0] if kind in forbidden}
    accepted = {(c.name, kind) for c in CONTAINERS for kind in c.accepted}
    assert {(e["container"], e["kind"]) for e in report["exposed"]} - accepted == expected - accepted
    assert expected
    assert run.verification.code == 2, run.verification.output
