# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scenarios CI runs, and on which images."""

from __future__ import annotations

from run_scenarios import IMAGE_LIMIT, find_scenarios, make_image_jobs
from run_stages import STAGES, plan_jobs


def test_a_scenario_of_another_architecture_runs_by_name_only() -> None:
    assert {scenario.name for scenario in find_scenarios() if not scenario.in_ci} == {
        "arm64",
        "forky",
        "services",
        "pull-converge",
        "turned-rootless",
        "egress-faults",
        "containerd-store",
    }


def test_ci_builds_no_image_of_another_architecture() -> None:
    names = [job.name for job in plan_jobs(["molecule"])]
    assert "trixie" in names
    assert not [name for name in names if "arm64" in name]


def test_the_longest_jobs_start_first() -> None:
    names = [job.name for job in plan_jobs([*STAGES, "molecule"])]
    assert [name for name in names if name in ("rootless", "labtest", "units", "rollout", "importer")] == [
        "rootless",
        "labtest",
        "units",
        "rollout",
        "importer",
    ]


def test_an_image_of_another_architecture_has_its_own_job() -> None:
    scenario = next(scenario for scenario in find_scenarios() if scenario.name == "arm64")
    (job,) = make_image_jobs([scenario])
    assert job.name == scenario.image_job == "image-arm64-trixie"
    assert job.command[-4:] == ["--suite", "trixie", "--arch", "arm64"]
    assert job.limit > IMAGE_LIMIT
