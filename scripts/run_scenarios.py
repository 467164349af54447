# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Molecule scenarios on throwaway VMs, side by side.

The output of a scenario goes to ``.cache/logs/NAME.log``. A line every half minute shows the current step of each one. The
last line has the form of pytest's closing line and counts the tests of all scenarios.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from jobs import Job, Tally, run_jobs, say

SCENARIOS = Path("molecule")
LOGS = Path(".cache/logs")
# One more than the two processors of the reference machine, because a scenario also waits: for a timer, a boot, or its control node.
LANES = 3
# Molecule reports success for a step that found nothing to do. Here it is a failure.
NOTHING_DONE = re.compile(r"(Missing playbook|no tests found|collected 0 items)")
# Seconds that an image may take; three times that if its packages are configured by emulated programs.
IMAGE_LIMIT = 3600.0
# Minutes on two emulated processors. The longest start first, so that the lanes end at about the same time.
MINUTES = {
    "egress-faults": 38,
    "rootless": 15,
    "services": 15,
    "trixie": 12,
    "containerd-store": 12,
    "faults": 12,
    "forky": 12,
    "sabotage": 10,
    "arm64": 9,
    "bookworm": 8,
    "pull": 6,
    "pull-converge": 6,
    "turned-rootless": 6,
    "rollout": 5,
    "bad-input": 2,
}
SOAK = {"egress-faults", "containerd-store"}
# CI runs them only if they will probably end within its limit, because a machine's speed varies by half. In order.
CI_MINUTES = 50
IF_TIME = ("services", "forky", "pull-converge", "turned-rootless")


@dataclass(frozen=True)
class Scenario:
    """A Molecule scenario and the snapshot that its VM starts from."""

    name: str
    suite: str
    hardened: bool
    architecture: str = ""

    @property
    def image_job(self) -> str:
        """Return the name of the job that builds the snapshot."""
        return f"{'hardened' if self.hardened else 'image'}-{self.image}"

    @property
    def image(self) -> str:
        """Return the suite, after the architecture if the scenario names one."""
        return f"{self.architecture}-{self.suite}" if self.architecture else self.suite

    @property
    def image_options(self) -> list[str]:
        """Return the lab's options for that image."""
        return ["--suite", self.suite, *(["--arch", self.architecture] if self.architecture else [])]

    @property
    def is_in_ci(self) -> bool:
        """Return whether CI runs it. The others run in `make soak` and by name: those that would make CI too long, or that name an architecture."""
        return not self.architecture and self.name not in SOAK

    @property
    def latest_start(self) -> float:
        """Return the seconds since the start of CI after which one of `IF_TIME` is left out: it may take half as long again as in `MINUTES`."""
        return 60 * (CI_MINUTES - 1.5 * MINUTES[self.name])


def find_scenarios() -> list[Scenario]:
    """Return all scenarios, the longest first. One that is not in `MINUTES` counts as long."""
    found = []
    for path in sorted(SCENARIOS.glob("*/molecule.yml")):
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        environment = settings.get("ansible", {}).get("env", {})
        hardened = environment.get("LAB_HARDENED", "false") == "true"
        found.append(Scenario(path.parent.name, environment.get("LAB_SUITE", "trixie"), hardened, environment.get("LAB_ARCH", "")))
    return sorted(found, key=lambda scenario: -MINUTES.get(scenario.name, 60))


def make_job(scenario: Scenario, limit: float) -> Job:
    """Return the job that runs a scenario. Its VM is destroyed even if it is stopped."""
    return Job(
        scenario.name,
        ["molecule", "test", "--no-command-borders", "-s", scenario.name],
        LOGS / f"{scenario.name}.log",
        after=frozenset((scenario.image_job,)),
        limit=limit,
        always=True,
        forbidden=NOTHING_DONE,
        cleanup=["molecule", "destroy", "-s", scenario.name],
    )


def make_image_jobs(scenarios: list[Scenario]) -> list[Job]:
    """Return the jobs that build the snapshots which the scenarios start from. They end at once where these exist."""
    limits = {scenario.image: IMAGE_LIMIT * (3 if scenario.architecture else 1) for scenario in scenarios}
    images = {scenario.image: scenario.image_options for scenario in scenarios}
    hardened = {scenario.image: scenario.image_options for scenario in scenarios if scenario.hardened}
    command = [sys.executable, "-m", "lab", "image"]
    return [
        Job(f"image-{image}", [*command, *options], LOGS / f"image-{image}.log", limit=limits[image]) for image, options in images.items()
    ] + [
        Job(
            f"hardened-{image}",
            [*command, *options, "--hardened"],
            LOGS / f"hardened-{image}.log",
            after=frozenset((f"image-{image}",)),
            limit=limits[image],
        )
        for image, options in hardened.items()
    ]


def interrupt(_number: int, _frame: object) -> None:
    """End the program in a way that cleans up."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the scenarios that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all that CI runs")
    parser.add_argument("--lanes", type=int, default=LANES, help="scenarios side by side (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=60, help="minutes that one may take (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=120, help="lines of a failing log (default: %(default)s)")
    arguments = parser.parse_args()

    known = {scenario.name: scenario for scenario in find_scenarios()}
    unknown = [name for name in arguments.scenarios if name not in known]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}; choose from {', '.join(known)}")

    signal.signal(signal.SIGTERM, interrupt)
    started = time.monotonic()
    chosen = [known[name] for name in arguments.scenarios or [name for name, scenario in known.items() if scenario.is_in_ci]]
    jobs = [*make_image_jobs(chosen), *(make_job(scenario, arguments.limit * 60) for scenario in chosen)]
    try:
        results = run_jobs(jobs, arguments.lanes, arguments.lines)
    except KeyboardInterrupt:
        say("Interrupted; the VMs of the scenarios are destroyed.")
        return 130
    total = sum(results.values(), Tally())
    say(f"===== {total} in {time.monotonic() - started:.2f}s =====")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
