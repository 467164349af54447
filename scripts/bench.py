# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the project's figures, as ratios within one run on one throwaway VM: ``make bench [SUITE=trixie]``.

The measure is ``ansible -m ping`` over the same connection: what one visit costs at least. Each run is compared with the
pings right before and after it, so that other work on this machine weighs on both. A visit is one command over SSH; with
pipelining that is one module run. Nothing fails for being slow; a target that is missed is marked.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace

from machines import destroy_machine, remove_bytecode_cache

VISIT = re.compile(r"^<[^>]+> SSH: EXEC ", re.MULTILINE)
CHANGED = re.compile(r"\bok=\d+\s+changed=(\d+)")
# An image with a program that waits and its libraries, put together from the machine's own files.
MAKE_IMAGE = """set -e
root=$(mktemp -d)
for file in $(readlink -f /usr/bin/sleep) $(ldd /usr/bin/sleep | grep -o '/[^ ]*'); do
  install -D "$(readlink -f "$file")" "$root$file"
done
tar -C "$root" -c . | docker import -c 'CMD ["/usr/bin/sleep", "infinity"]' - bench >/dev/null
rm -r "$root"
"""
START_CONTAINERS = "for n in $(seq {first} {last}); do docker run -d --name bench-$n bench >/dev/null; done"
# The goal without what is read of running containers, and the 15 % that this may add.
VERIFY_PINGS = 2.8 * 1.15


@dataclass
class MeasuredRun:
    """One run of an Ansible command; `pings`: its time as a multiple of the ping next to it."""

    seconds: float
    visits: int
    changed: int
    pings: float = math.nan


def run_ansible(command: list[str], count: bool = False) -> MeasuredRun:
    """Run a command of Ansible and return its figures; its output is shown only if it fails.

    count: whether to count the visits, which takes -vvv. It writes out the results of all tasks, which takes a second: such a run is not timed.
    """
    began = time.monotonic()
    done = subprocess.run([*command, *(["-vvv"] if count else [])], check=False, capture_output=True, text=True, errors="replace")
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}\nbench: the command above failed")
    return MeasuredRun(seconds, len(VISIT.findall(done.stdout)), sum(map(int, CHANGED.findall(done.stdout))))


class BenchMachine:
    """The throwaway VM of the measurement."""

    def __init__(self, name: str, suite: str) -> None:
        self.name = name
        self.pings: list[float] = []
        self.run_lab(["up", name, "--suite", suite])
        remove_bytecode_cache(name)

    def run_lab(self, arguments: list[str]) -> None:
        """Run a command of the lab."""
        subprocess.run([sys.executable, "-m", "lab", *arguments], check=True)

    def run_script(self, script: str) -> None:
        """Run a script on the machine."""
        self.run_lab(["ssh", self.name, script])

    def build_command(self, name: str, *extra: str) -> list[str]:
        """Return the command that runs one of the project's playbooks there."""
        return ["ansible-playbook", "-i", f".lab/{self.name}/inventory.yml", f"playbooks/{name}.yml", *extra]

    def measure_ping(self) -> float:
        """Return the seconds of one ansible -m ping, with which all runs are compared."""
        command = ["ansible", "-i", f".lab/{self.name}/inventory.yml", "docker_hosts", "-m", "ansible.builtin.ping"]
        self.pings.append(run_ansible(command).seconds)
        return self.pings[-1]

    def measure_median(self, command: list[str], times: int = 3) -> MeasuredRun:
        """Run a command several times, each between two pings, and return the run with the median ratio, with the visits of one more run."""
        counted = run_ansible(command, count=True)
        runs, before = [], self.measure_ping()
        for _ in range(times):
            run, after = run_ansible(command), self.measure_ping()
            runs.append(replace(run, pings=run.seconds / statistics.mean((before, after))))
            before = after
        middle = sorted(runs, key=lambda run: run.pings)[len(runs) // 2]
        return replace(middle, visits=counted.visits, changed=counted.changed + middle.changed)


def print_row(what: str, figure: float, target: float, unit: str = "") -> None:
    """Print one figure and its target."""
    shown = f"{figure:.1f}{unit}" if unit else f"{figure:.0f}"
    limit = f"{target:.3g}{unit}"
    print(f"{what:<58} {shown:>8}   at most {limit:<6} {'' if figure <= target else 'MISSED'}", flush=True)


def measure_playbooks(machine: BenchMachine) -> None:
    """Measure the first run of harden.yml, steady runs, and verify.yml with few and with many containers."""
    machine.measure_ping()  # opens the connection that all others share
    machine.pings.clear()
    print("\nx: multiples of the time that ansible -m ping took\n")

    first = run_ansible(machine.build_command("harden"), count=True)
    print_row("first harden.yml: module runs", first.visits, 20)
    steady = machine.measure_median(machine.build_command("harden", "-e", "bulkhead_resume=false"))
    print_row("steady harden.yml, with verification: module runs", steady.visits, 4)
    print_row("steady harden.yml, with verification: changed", steady.changed, 0)
    bare = machine.measure_median(machine.build_command("harden", "-e", "bulkhead_resume=false", "-e", "bulkhead_verify=false"))
    print_row("steady harden.yml, without verification: time", bare.pings, 2.0, "x")

    machine.run_script(MAKE_IMAGE + START_CONTAINERS.format(first=1, last=3))
    few = machine.measure_median(machine.build_command("verify"))
    print_row("verify.yml with 3 containers: module runs", few.visits, 1)
    print_row("verify.yml with 3 containers: time", few.pings, VERIFY_PINGS, "x")
    print("(starting 47 more containers)", flush=True)
    machine.run_script(START_CONTAINERS.format(first=4, last=50))
    many = machine.measure_median(machine.build_command("verify"))
    print_row("verify.yml with 50 containers: module runs", many.visits, 1)
    print_row("verify.yml with 50 containers: time, to that with 3", many.pings / few.pings, 2, "x")
    print(f"\nansible -m ping: {statistics.median(machine.pings):.1f} s ({min(machine.pings):.1f} to {max(machine.pings):.1f})")


def main() -> int:
    """Boot the VM, measure, destroy it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default=os.environ.get("SUITE", "trixie"))
    suite = parser.parse_args().suite
    name = f"bench-{os.getpid()}"
    try:
        measure_playbooks(BenchMachine(name, suite))
    finally:
        destroy_machine(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
