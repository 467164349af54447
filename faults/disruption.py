# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the effect of each change on a running container: `python3 -m faults.disruption`.

A container writes the time since boot to its log five times per second. The log is migrated with the container where the engine gets
another data root. The longest gap in the log, and whether the container was started again, are the effect.
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

START_BEAT = (
    "docker run -d --name beat --network none marker-image sh -c 'while :; do read up rest < /proc/uptime; echo $up; sleep 0.2; done'"
)
ENABLE_LIVE_RESTORE = """
mkdir -p /etc/docker; echo '{"live-restore": true}' > /etc/docker/daemon.json; kill -HUP $(pidof dockerd); sleep 3
"""


@dataclass(frozen=True)
class HostChange:
    """One change of a host. before: a shell script that runs first."""

    name: str
    arguments: tuple[str, ...]
    before: str = "true"


CHANGES = (
    HostChange("default PIDs limit", ("--tags", "pids_limit")),
    HostChange("no-new-privileges, without live-restore", ("--tags", "no_new_privileges")),
    HostChange("no-new-privileges, live-restore was on", ("--tags", "no_new_privileges"), ENABLE_LIVE_RESTORE),
    HostChange("both, and the options of docker_daemon (live-restore is enabled first)", ("--tags", "pids_limit,no_new_privileges")),
    HostChange("seccomp, without live-restore", ("--tags", "seccomp")),
    HostChange("AppArmor profiles", ("--tags", "apparmor")),
    HostChange("userns-remap, migrate", ("--tags", "userns", "-e", "userns_remap_existing_data=migrate")),
    HostChange(
        "userns-remap, migrate, live-restore was on", ("--tags", "userns", "-e", "userns_remap_existing_data=migrate"), ENABLE_LIVE_RESTORE
    ),
)


def find_longest_gap(beats: Sequence[float]) -> float:
    """Return the longest time between two beats, in seconds."""
    return max((after - before for before, after in pairwise(beats)), default=0.0)


def measure_change(machine: FaultMachine, change: HostChange) -> str:
    """Return one row of the table."""
    machine.start_fresh()
    machine.check_script("docker rm -f keeper plain >/dev/null")
    machine.check_script(change.before)
    machine.check_script(START_BEAT)
    read_starts = "docker inspect -f '{{.State.StartedAt}}' beat; systemctl show -P MainPID docker"
    started_before, pid_before = machine.check_script(read_starts).split()
    time.sleep(3)
    code, output = machine.run_playbook("harden", "-e", "bulkhead_verify=false", *change.arguments)
    if code:
        return f"| {change.name} | failed: {output[-200:]} | | |"
    time.sleep(3)
    beats = [float(line) for line in machine.check_script("docker logs beat").split()]
    started, pid = machine.check_script(read_starts).split()
    answers = [format_answer(pid != pid_before), format_answer(started != started_before)]
    row = f"| {change.name} | {' | '.join(answers)} | {find_longest_gap(beats):.1f} s |"
    say(row)
    return row


def format_answer(answer: bool) -> str:
    return "yes" if answer else "no"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all changes on one machine and print the table."""
    parser = argparse.ArgumentParser(prog="python3 -m faults.disruption", description=__doc__)
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--name", default="faults")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(arguments)
    machine = FaultMachine(options.name, options.suite)
    try:
        machine.prepare()
        rows = [measure_change(machine, change) for change in CHANGES]
    finally:
        if not options.keep:
            machine.remove()
    print("| change | engine restarted | container started again | longest gap in its log |\n|---|---|---|---|\n" + "\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
