# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Molecule scenarios, each on a throwaway VM of its own, two side by side.

Each scenario's output goes to ``.cache/logs/NAME.log``; a line every half minute says where each one is, the end of a
failing log is printed, and the last line has the form of pytest's with the tests of all scenarios added up.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from jobs import Job, Tally, duration, tally

SCENARIOS = Path("molecule")
LOGS = Path(".cache/logs")
BEAT = 30.0  # seconds between two progress lines
# What tells a reader where a scenario is: Molecule's own steps, Ansible's tasks, pytest's tests.
PLACE = re.compile(r"(?:INFO\s+(.+ ➜ .+: Executing)|(TASK \[.*\])|(PLAY \[.*\])|(test_\w+\.py::.*))")
# Molecule accepts a step of the test sequence that had nothing to do. Such a step tests nothing.
HOLLOW = re.compile(r"(Missing playbook|no tests found|collected 0 items)")
# The longest first, so that the two lanes end at about the same time.
ORDER = ("trixie", "rootless", "services", "faults", "forky", "bookworm", "rollout", "bad-input")


def scenario_names() -> list[str]:
    """Return all scenarios, the long ones first."""
    found = sorted(path.parent.name for path in SCENARIOS.glob("*/molecule.yml"))
    return sorted(found, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def place(job: Job) -> str:
    """Say in a few words what a scenario is doing."""
    for line in reversed(job.text().splitlines()):
        match = PLACE.search(line)
        if match:
            return next(group for group in match.groups() if group)
    return "starting"


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def report(job: Job, lines: int) -> Tally:
    """Print how a scenario ended; the scenario itself counts as one test."""
    log = job.text()
    hollow = job.poll() == 0 and HOLLOW.search(log)
    ok = job.poll() == 0 and not hollow
    counts = tally(log)
    if ok or not counts.failed:
        counts += Tally(1, 0) if ok else Tally(0, 1)
    if not ok:
        say(f"--- the last {lines} lines of {job.log}")
        say(job.tail(lines))
        say("---")
    if hollow:
        say(f"    {job.name}: a step of its sequence did nothing: {hollow[1]}")
    say(f"    {job.name}: {'ok' if ok else 'FAILED'} after {duration(job.seconds())}: {counts}")
    return counts


def run(names: list[str], lanes: int, limit: float, lines: int) -> Tally:
    """Run the scenarios and return their tests, added up. Whatever happens, no VM of theirs is left behind."""
    waiting = [Job(name, ["molecule", "test", "--no-command-borders", "-s", name], LOGS / f"{name}.log") for name in names]
    running: list[Job] = []
    total = Tally()
    beat = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < lanes:
                job = waiting.pop(0)
                say(f"    {job.name}: started, log in {job.log}")
                job.start()
                running.append(job)
            time.sleep(1)
            for job in running[:]:
                if job.seconds() > limit and job.poll() is None:
                    say(f"    {job.name}: stopped, it ran longer than {duration(limit)}")
                    job.stop()
                    destroy(job.name)
                if job.poll() is not None:
                    running.remove(job)
                    total += report(job, lines)
            if time.monotonic() - beat >= BEAT:
                beat = time.monotonic()
                for job in running:
                    say(f"    {job.name}: {duration(job.seconds())}: {place(job)}")
    finally:
        for job in running:
            job.stop()
            destroy(job.name)
    return total


def destroy(name: str) -> None:
    """Destroy the VM of a scenario that did not get to do so itself."""
    subprocess.run(["molecule", "destroy", "-s", name], check=False, stdout=subprocess.DEVNULL)


def interrupt(_number: int, _frame: object) -> None:
    """Leave through the clean-up."""
    raise KeyboardInterrupt


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all when none is named")
    parser.add_argument("--lanes", type=int, default=2, help="scenarios side by side (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=60, help="minutes that one may take (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=120, help="lines of a failing log (default: %(default)s)")
    arguments = parser.parse_args()

    known = scenario_names()
    unknown = [name for name in arguments.scenarios if name not in known]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are: {', '.join(known)}")

    signal.signal(signal.SIGTERM, interrupt)
    began = time.monotonic()
    try:
        total = run(arguments.scenarios or known, arguments.lanes, arguments.limit * 60, arguments.lines)
    except KeyboardInterrupt:
        say("Interrupted; the scenarios' VMs are destroyed.")
        return 130
    say(f"===== {total} in {time.monotonic() - began:.2f}s =====")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
