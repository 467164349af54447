# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare verify.yml with section 5 of docker-bench-security, on one VM with the same sabotaged containers: scores and times.

    scripts/compare-docker-bench FOLDER     the folder is a clone of github.com/docker/docker-bench-security

A sabotaged container counts when it is named for the right reason. For Bulkhead that is every expected finding. For docker-bench-security
one check is enough: its number is that of an expected kind of exposure or layer. A check that also names the benign containers does not count.

An emulated machine is slow when a program runs for the first time. With --runs 2 each program runs twice, and its faster run counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import BY_NAME
from container_sabotages import REMAP, Container
from machines import destroy_machine, remove_bytecode_cache
from sabotaging import find_mismatches, list_containers, list_expected, start_containers, stop_containers

from lab import lifecycle

_Result = TypeVar("_Result")
_BENCH = "cd /root/bench && rm -rf log && bash docker-bench-security.sh -b -c container_runtime >/dev/null && cat log/docker-bench-security.log.json"


class ComparisonMachine:
    """The VM of the comparison."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.remote = lifecycle.find_machine(name).get_remote()

    def run_script(self, script: str) -> str:
        """Run a script there as root and return its output."""
        done = subprocess.run(self.remote.build_command(["bash", "-s"]), input=script, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"compare-docker-bench: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def copy_folder(self, folder: Path) -> None:
        """Copy the folder of docker-bench-security there."""
        pack = subprocess.run(["tar", "-C", str(folder), "--exclude=.git", "-c", "."], capture_output=True, check=True)
        unpack = self.remote.build_command(["mkdir -p /root/bench && tar -C /root/bench -x"])
        subprocess.run(unpack, input=pack.stdout, check=True)

    def run_verify(self) -> dict[str, Any]:
        """Run verify.yml against it and return the report."""
        with tempfile.TemporaryDirectory(prefix="bulkhead-") as folder:
            program = str(Path(sys.executable).parent / "ansible-playbook")
            arguments = ["-i", f".lab/{self.name}/inventory.yml", "playbooks/verify.yml", "-e", f"bulkhead_report_dir={folder}"]
            done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
            reports = list(Path(folder).glob("verify-*.json"))
            if not reports:
                sys.exit(f"compare-docker-bench: verify.yml wrote no report\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
            report: dict[str, Any] = json.loads(reports[0].read_text())
            return report


def list_controls(container: Container) -> set[str]:
    """Return the numbers of the CIS benchmark that fit what is wrong with a container."""
    exposed, layers = list_expected(container, REMAP)
    controls = [control for kind in exposed for control in KINDS[kind].controls]
    controls += [control for key in layers for control in BY_NAME[key.split(".")[0]].controls]
    return {control.removeprefix("CIS-") for control in controls if control.startswith("CIS-")}


def read_bench(output: str) -> dict[str, set[str]]:
    """Return the containers that each check names in the JSON log, unless it names benign ones too."""
    named = {}
    for section in json.loads(output)["tests"]:
        for result in section["results"]:
            # Some checks add a path or a port to the name.
            items = {item.strip().partition(":")[0] for item in result.get("items") or ()}
            if result["result"] in ("WARN", "INFO") and not any(item.startswith("benign-") for item in items):
                named[result["id"]] = items
    return named


def select_containers(only: str | None, parser: argparse.ArgumentParser) -> list[Container]:
    """Return the containers to run. Without a benign one, nothing shows whether a check names every container."""
    containers = list_containers(REMAP)
    if only is None:
        return containers
    names = {"benign-plain", *only.split(",")}
    unknown = sorted(names - {container.name for container in containers})
    if unknown:
        parser.error(f"unknown containers: {', '.join(unknown)}")
    return [container for container in containers if container.name in names]


def run_fastest(program: Callable[[], _Result], runs: int) -> tuple[_Result, float]:
    """Return the result of the last run, and the seconds of the fastest."""
    seconds = []
    for _run in range(runs):
        began = time.monotonic()
        result = program()
        seconds.append(time.monotonic() - began)
    return result, min(seconds)


def compare_programs(machine: ComparisonMachine, folder: Path, containers: list[Container], runs: int) -> None:
    """Start the containers, run both programs, print scores and times."""
    sabotaged = [container for container in containers if not container.is_benign]
    try:
        errors = start_containers(machine.run_script, containers, REMAP)
        if errors:
            print(f"did not start:\n{errors}")
        report, own_seconds = run_fastest(machine.run_verify, runs)
        machine.copy_folder(folder)
        output, bench_seconds = run_fastest(lambda: machine.run_script(_BENCH), runs)
        named = read_bench(output)
    finally:
        stop_containers(machine.run_script, containers, REMAP)
    own = {container.name for container in sabotaged if not find_mismatches(container, report, REMAP)}
    bench = {
        container.name for container in sabotaged if any(container.name in named.get(number, ()) for number in list_controls(container))
    }
    for container in sabotaged:
        print(
            f"{container.name:<32} {'named' if container.name in own else 'MISSED':<8} {'named' if container.name in bench else 'missed'}"
        )
    print(f"\n{len(containers)} containers, {len(sabotaged)} of them sabotaged")
    print(f"verify.yml:            {len(own)} named, {own_seconds:.1f} s")
    print(f"docker-bench-security: {len(bench)} named, {bench_seconds:.0f} s ({bench_seconds / own_seconds:.1f} times as long)")


def main() -> int:
    """Boot a hardened VM, compare, destroy it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a clone of docker-bench-security")
    parser.add_argument("--suite", default=os.environ.get("SUITE", "trixie"))
    parser.add_argument("--machine", help="use this machine of the lab, which is up and hardened, and keep it")
    parser.add_argument("--runs", type=int, default=1, choices=range(1, 6), help="runs of each program (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME,…", help="these containers of the table, and benign-plain; default: all")
    options = parser.parse_args()
    containers = select_containers(options.only, parser)
    if not (options.folder / "docker-bench-security.sh").exists():
        parser.error(f"{options.folder} has no docker-bench-security.sh; clone github.com/docker/docker-bench-security")
    if options.machine:
        compare_programs(ComparisonMachine(options.machine), options.folder, containers, options.runs)
        return 0
    name = f"compare-{os.getpid()}"
    try:
        subprocess.run([sys.executable, "-m", "lab", "up", name, "--suite", options.suite, "--hardened"], check=True)
        remove_bytecode_cache(name)
        compare_programs(ComparisonMachine(name), options.folder, containers, options.runs)
    finally:
        destroy_machine(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
