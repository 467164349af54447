# SPDX-License-Identifier: GPL-3.0-or-later
"""Run everything that CI runs, jobs side by side, and count the tests in a last line of pytest's form.

The output of each job goes to ``.cache/logs/NAME.log``; the end of a failing log is printed. Every job runs, whatever the
others report. A job that runs no tests counts as one test.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import dataclass

from jobs import Job, Tally, format_duration, run_jobs, say
from run_scenarios import IF_TIME, LANES, LOGS, MINUTES, Scenario, find_scenarios, interrupt, make_image_jobs, make_job

LIMIT = 3600.0  # seconds that a scenario may take
COLLECTION = "collections/ansible_collections/bulkhead/docker"


@dataclass(frozen=True)
class Stage:
    """A command that needs no VM. minutes: how long it takes, as in `MINUTES` of the scenarios."""

    minutes: int
    command: list[str]


# In one process: ansible-test (`make units`) starts one for each test, which takes five times the processor time.
_UNITS = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"{COLLECTION}/tests/unit"]
STAGES = {
    "sanity": Stage(5, ["scripts/sanity"]),
    "labtest": Stage(4, ["pytest", "-q", "tests"]),
    "units": Stage(2, [sys.executable, *_UNITS]),
    "units-newest": Stage(2, [sys.executable, "scripts/control_node.py", "python3", *_UNITS]),  # with the newest supported ansible-core
    "lint": Stage(2, ["scripts/lint"]),
    "importer": Stage(2, ["scripts/importer"]),
}


def plan_jobs(names: list[str]) -> list[Job]:
    """Return the jobs of these stages in the order in which they start."""
    stages = [Job(name, stage.command, LOGS / f"{name}.log") for name, stage in STAGES.items() if name in names]
    if "molecule" not in names:
        return stages
    scenarios = [scenario for scenario in find_scenarios() if scenario.is_in_ci]
    required = [scenario for scenario in scenarios if scenario.name not in IF_TIME]
    images = make_image_jobs(required)
    # The longest start first. While images are built, that is what needs none.
    minutes = {**MINUTES, **{name: stage.minutes for name, stage in STAGES.items()}}
    jobs = [*(make_job(scenario, LIMIT) for scenario in required), *stages]
    return [*images, *sorted(jobs, key=lambda job: -minutes.get(job.name, 60)), *_plan_further_jobs(scenarios, images)]


def _plan_further_jobs(scenarios: list[Scenario], images: list[Job]) -> list[Job]:
    """Return the jobs that are run if there is time, with those that build their images."""
    further = {scenario.name: scenario for scenario in scenarios if scenario.name in IF_TIME}
    latest = {scenario.image_job: scenario.latest_start for scenario in further.values()}
    known = {job.name for job in images}
    jobs = [job for job in make_image_jobs(list(further.values())) if job.name not in known]
    jobs += [make_job(further[name], LIMIT) for name in IF_TIME]
    for job in jobs:
        job.latest_start = further[job.name].latest_start if job.name in further else latest[job.name]
    return jobs


def main() -> int:
    """Run the stages that the command line names, by default all."""
    known = [*STAGES, "molecule"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--lanes", type=int, default=LANES, help="jobs side by side (default: %(default)s)")
    arguments = parser.parse_args()
    names = arguments.stages or known
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"no such stage: {', '.join(unknown)}; choose from {', '.join(known)}")

    signal.signal(signal.SIGTERM, interrupt)
    started = time.monotonic()
    jobs = plan_jobs(names)
    try:
        results = run_jobs(jobs, arguments.lanes)
    except KeyboardInterrupt:
        say("Interrupted; the VMs of the scenarios are destroyed.")
        return 130

    say("\n==> summary")
    for job in jobs:
        counts = results[job.name]
        if counts.skipped:
            say(f"    {job.name:<18} left out, because it could not start within {format_duration(job.latest_start)}")
        else:
            say(f"    {job.name:<18} {'FAILED' if counts.failed else 'ok':<7} {format_duration(job.seconds()):>12}   {counts}")
    total = sum(results.values(), Tally())
    say(f"===== {total} in {time.monotonic() - started:.2f}s =====")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
