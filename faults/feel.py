# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running container feels of each change, measured: `python3 -m faults.feel`. Its longest silence, and whether it was started again.

A container writes the time since boot to its log five times a second; the log is carried along where the engine gets another root.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from faults.machine import FaultMachine
from lab.progress import say

BEAT = "docker run -d --name beat --network none marker-image sh -c 'while :; do read up rest < /proc/uptime; echo $up; sleep 0.2; done'"
LIVE = """mkdir -p /etc/docker; echo '{"live-restore": true}' > /etc/docker/daemon.json; kill -HUP $(pidof dockerd); sleep 3"""


@dataclass(frozen=True)
class Change:
    """One change of a host. before: what is done by hand first."""

    name: str
    arguments: tuple[str, ...]
    before: str = "true"


CHANGES = (
    Change("default PIDs limit", ("--tags", "pids_limit")),
    Change("no-new-privileges, without live-restore", ("--tags", "no_new_privileges")),
    Change("no-new-privileges, live-restore was on", ("--tags", "no_new_privileges"), LIVE),
    Change("both, and the options of docker_daemon (live-restore is switched on first)", ("--tags", "pids_limit,no_new_privileges")),
    Change("seccomp, without live-restore", ("--tags", "seccomp")),
    Change("AppArmor profiles", ("--tags", "apparmor")),
    Change("userns-remap, migrate", ("--tags", "userns", "-e", "userns_remap_existing_data=migrate")),
    Change("userns-remap, migrate, live-restore was on", ("--tags", "userns", "-e", "userns_remap_existing_data=migrate"), LIVE),
)


def longest(beats: Sequence[float]) -> float:
    """The longest time between two beats, in seconds."""
    return max((after - before for before, after in pairwise(beats)), default=0.0)


def measure(machine: FaultMachine, change: Change) -> str:
    """One row of the table."""
    machine.fresh()
    machine.check("docker rm -f keeper plain >/dev/null")
    machine.check(change.before)
    machine.check(BEAT)
    look = "docker inspect -f '{{.State.StartedAt}}' beat; systemctl show -P MainPID docker"
    began, engine = machine.check(look).split()
    time.sleep(3)
    code, output = machine.playbook("harden", "-e", "bulkhead_verify=false", *change.arguments)
    if code:
        return f"| {change.name} | failed: {output[-200:]} | | |"
    time.sleep(3)
    beats = [float(line) for line in machine.check("docker logs beat").split()]
    started, pid = machine.check(look).split()
    row = f"| {change.name} | {_yes(pid != engine)} | {_yes(started != began)} | {longest(beats):.1f} s |"
    say(row)
    return row


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all of them on one machine and print the table."""
    parser = argparse.ArgumentParser(prog="python3 -m faults.feel", description=__doc__)
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--name", default="faults")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(arguments)
    machine = FaultMachine(options.name, options.suite)
    try:
        machine.prepare()
        rows = [measure(machine, change) for change in CHANGES]
    finally:
        if not options.keep:
            machine.remove()
    print("| change | engine restarted | container started again | its longest silence |\n|---|---|---|---|\n" + "\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
