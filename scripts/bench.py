# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the project's figures, as ratios within one run on one throwaway VM: ``make bench [SUITE=trixie]``.

The measure is ``ansible -m ping`` over the same connection: what one visit costs at least. A visit is one command over
SSH; with pipelining that is one module run. Nothing fails for being slow; a target that is missed is marked.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

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


@dataclass
class Run:
    """One run of a command of Ansible's."""

    seconds: float
    visits: int
    changed: int


def ansible(command: list[str]) -> Run:
    """Run a command of Ansible's and measure it; its output is shown only when it fails."""
    began = time.monotonic()
    # -vvv tells the visits; writing it costs some milliseconds in every run alike.
    done = subprocess.run([*command, "-vvv"], check=False, capture_output=True, text=True, errors="replace")
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}\nbench: the command above failed")
    return Run(seconds, len(VISIT.findall(done.stdout)), sum(map(int, CHANGED.findall(done.stdout))))


def median(command: list[str], times: int = 3) -> Run:
    """Run a command several times and return the run that took the middle time."""
    runs = sorted((ansible(command) for _ in range(times)), key=lambda run: run.seconds)
    return runs[len(runs) // 2]


class Machine:
    """The throwaway VM of the measurement."""

    def __init__(self, name: str, suite: str) -> None:
        self.name = name
        self.lab(["up", name, "--suite", suite])

    def lab(self, arguments: list[str]) -> None:
        """Call the lab."""
        subprocess.run([sys.executable, "-m", "lab", *arguments], check=True)

    def shell(self, script: str) -> None:
        """Run a script on the machine."""
        self.lab(["ssh", self.name, script])

    def playbook(self, name: str, *extra: str) -> list[str]:
        """Return the command that runs one of the project's playbooks there."""
        return ["ansible-playbook", "-i", f".lab/{self.name}/inventory.yml", f"playbooks/{name}.yml", *extra]

    def ping(self) -> list[str]:
        """Return the command that everything is compared with."""
        return ["ansible", "-i", f".lab/{self.name}/inventory.yml", "docker_hosts", "-m", "ansible.builtin.ping"]


def row(what: str, figure: float, target: float, unit: str = "") -> None:
    """Print one figure beside its target."""
    shown = f"{figure:.1f}{unit}" if unit else f"{figure:.0f}"
    limit = f"{target:g}{unit}"
    print(f"{what:<58} {shown:>8}   at most {limit:<6} {'' if figure <= target else 'MISSED'}", flush=True)


def measure(machine: Machine) -> None:
    """Take the figures, in the order in which a host's life goes."""
    median(machine.ping(), 1)  # opens the connection that all others share
    pings = [ansible(machine.ping()).seconds for _ in range(5)]
    ping = statistics.median(pings)
    print(f"\nansible -m ping: {ping:.1f} s (of 5: {min(pings):.1f} to {max(pings):.1f}); x means so many times that\n")

    first = ansible(machine.playbook("harden"))
    row("first harden.yml: module runs", first.visits, 20)
    steady = median(machine.playbook("harden"))
    row("steady harden.yml, proof included: module runs", steady.visits, 4)
    row("steady harden.yml, proof included: changed", steady.changed, 0)
    bare = median(machine.playbook("harden", "-e", "prove=false"))
    row("steady harden.yml, without the proof: time", bare.seconds / ping, 2.5, "x")

    machine.shell(MAKE_IMAGE + START_CONTAINERS.format(first=1, last=3))
    few = median(machine.playbook("verify"))
    row("verify.yml with 3 containers: module runs", few.visits, 1)
    row("verify.yml with 3 containers: time", few.seconds / ping, 5, "x")
    print("(starting 47 more containers)", flush=True)
    machine.shell(START_CONTAINERS.format(first=4, last=50))
    many = median(machine.playbook("verify"))
    row("verify.yml with 50 containers: module runs", many.visits, 1)
    row("verify.yml with 50 containers: time, to that with 3", many.seconds / few.seconds, 2, "x")


def main() -> int:
    """Boot the VM, measure, destroy it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default=os.environ.get("SUITE", "trixie"))
    suite = parser.parse_args().suite
    name = f"bench-{os.getpid()}"
    try:
        measure(Machine(name, suite))
    finally:
        if Path(".lab", name).exists():
            subprocess.run([sys.executable, "-m", "lab", "down", name], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
