# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scenarios CI runs, and on which images."""

from __future__ import annotations

import math

from run_scenarios import CI_MINUTES, IF_TIME, IMAGE_LIMIT, MINUTES, find_scenarios, make_image_jobs
from run_stages import STAGES, plan_jobs


def test_a_scenario_of_another_architecture_runs_by_name_only() -> None:
    assert {scenario.name for scenario in find_scenarios() if not scenario.is_in_ci} == {"arm64", "egress-faults", "containerd-store"}


def test_what_runs_if_there_is_time_ends_within_the_limit() -> None:
    jobs = plan_jobs([*STAGES, "molecule"])
    assert tuple(job.name for job in jobs[-len(IF_TIME) :]) == IF_TIME
    limited = {job.name: job.latest_start for job in jobs if job.latest_start < math.inf}
    assert set(limited) == {*IF_TIME, "image-forky"}
    assert limited["image-forky"] == limited["forky"]
    assert all(limited[name] + 60 * MINUTES[name] < 60 * CI_MINUTES for name in IF_TIME)


def test_ci_builds_no_image_of_another_architecture() -> None:
    names = [job.name for job in plan_jobs(["molecule"])]
    assert "trixie" in names
    assert not [name for name in names if "arm64" in name]


def test_the_longest_jobs_start_first() -> None:
    names = [job.name for job in plan_jobs([*STAGES, "molecule"])]
    assert [name for name in names if name in ("rootless", "labtest", "rollout", "importer")] == [
        "rootless",
        "rollout",
        "labtest",
        "importer",
    ]


def test_an_image_of_another_architecture_has_its_own_job() -> None:
    scenario = next(scenario for scenario in find_scenarios() if scenario.name == "arm64")
    (job,) = make_image_jobs([scenario])
    assert job.name == scenario.image_job == "image-arm64-trixie"
    assert job.command[-4:] == ["--suite", "trixie", "--arch", "arm64"]
    assert job.limit > IMAGE_LIMIT
