# SPDX-License-Identifier: GPL-3.0-or-later
"""Try the services of the table on throwaway VMs and write docs/services.md: ``make soak``, or ``scripts/soak-services``.

One VM per engine: as installed, hardened (also for everything stacked), rootless.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import paths
from lab.progress import say
from services import data, image, page, trial

# VM -> its settings, options of `lab up`, and variables of harden.yml (None: it is not run).
MACHINES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...] | None]] = {
    "plain": (("baseline",), (), None),
    "remap": (("hardened", data.STACKED), ("--hardened",), None),
    "rootless": (("rootless",), (), ("-e", "@inventory/group_vars/rootless.yml", "-e", "rootless_docker_stop_containers=true")),
}


def try_settings(machine: str, settings: Sequence[str], services: list[data.TableService], suite: str) -> dict[str, Any]:
    """Try services on a running VM in these settings, and return the results by setting and service."""
    run, results = trial.open_machine(machine), dict[str, Any]()
    versions = ""
    for name in (data.SAMPLE, data.REST):
        members = [service for service in data.load_services().values() if service.sample == (name == data.SAMPLE)]
        if any(service in members for service in services):
            say(f"{machine}: attaching the image {name}")
            versions += image.attach_image(run, paths.machine_dir(machine), name, suite, members, trial.select_engine(settings[0]))
    for setting in settings:
        chosen = [service for service in services if setting != data.STACKED or service.stacked]
        results[setting] = {}
        for entry in trial.stream_results(machine, trial.build_script(chosen, setting)):
            entry["version"] = data.find_version(versions, next(s for s in chosen if s.name == entry["service"]))
            results[setting][entry["service"]] = entry
            say(f"{setting}: {entry['service']}: {'ok' if entry['ok'] else entry['problem']} ({entry['seconds']} s)")
        for name, problem in trial.find_problems(chosen, results[setting]).items():
            say(f"{setting}: {name} FAILED: {problem}")
    return results


def start_machine(kind: str, name: str, suite: str) -> None:
    """Boot a VM of a kind and harden it, if its engine is to be hardened."""
    _, options, variables = MACHINES[kind]
    subprocess.run([sys.executable, "-m", "lab", "up", name, "--suite", suite, *options], check=True)
    if variables is not None:
        program = str(Path(sys.executable).parent / "ansible-playbook")
        command = [program, "-i", f".lab/{name}/inventory.yml", "playbooks/harden.yml", *variables, "-e", "bulkhead_verify=false"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    services = data.load_services()
    parser.add_argument("services", nargs="*", metavar="SERVICE", help=f"default: all of {', '.join(services)}")
    parser.add_argument("--machine", choices=MACHINES, action="append", help="engines to try (repeatable); default: all")
    parser.add_argument("--suite", default=os.environ.get("SUITE", "trixie"))
    parser.add_argument("--results", type=Path, default=paths.REPOSITORY / ".cache/services.json", help="where the results are collected")
    parser.add_argument("--write", action="store_true", help="write docs/services.md from the collected results, also of earlier runs")
    options = parser.parse_args()
    unknown = sorted(set(options.services) - set(services))
    if unknown:
        parser.error(f"unknown services: {', '.join(unknown)}; choose from {', '.join(services)}")
    chosen = [services[name] for name in options.services or services]
    failed = False
    for kind in options.machine or ([] if options.write else list(MACHINES)):
        name = f"services-{kind}"
        try:
            start_machine(kind, name, options.suite)
            results = try_settings(name, MACHINES[kind][0], chosen, options.suite)
        finally:
            subprocess.run([sys.executable, "-m", "lab", "down", name], check=False)
        page.save_results(options.results, options.suite, results)
        failed = failed or any(not entry["ok"] for by_service in results.values() for entry in by_service.values())
    if options.write or not options.services:
        page.write_page(services, json.loads(options.results.read_text(encoding="utf-8")), options.suite)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
