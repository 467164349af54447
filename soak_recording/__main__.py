# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the recorder and the denial counters on throwaway VMs: ``make soak``, or ``scripts/soak-recording``.

recall: the calls that the recorder counted against strace. starts: cycles under generated profiles, and what these denied.
attacks: what the generated profiles stop alone. cost: requests per second and starts with and without the recorder. ordinary: denials that
count as new while services do ordinary work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab import paths
from services import data
from services.__main__ import start_machine
from soak_recording import attacks, cost, ordinary, recall, starts
from soak_recording.machine import SoakMachine

RECALL = ("nginx", "redis", "nodejs", "gunicorn", "postgresql", "apache2", "haproxy", "memcached", "php-fpm", "java")
STARTS = ("nginx", "redis", "nodejs", "gunicorn", "postgresql")
# They run at the same time, so no two have a port in common.
ORDINARY = ("apache2", "bind9", "mariadb", "memcached", "postfix", "postgresql", "slapd", "squid")
RECORDER_PARTS = ("recall", "starts", "attacks", "cost")
PARTS = (*RECORDER_PARTS, "ordinary")
# Kind of machine of services/__main__.py -> setting of services/data.py.
SETTINGS = {"remap": "hardened", "rootless": "rootless"}


def run_parts(machine: SoakMachine, options: argparse.Namespace) -> dict[str, Any]:
    """Return the results of the parts that were asked for. The recorder stays armed."""
    services, found = data.load_services(), dict[str, Any]()
    tried = {"recall": RECALL, "starts": STARTS, "attacks": STARTS, "cost": STARTS, "ordinary": ORDINARY}
    members = dict.fromkeys(name for part in options.parts for name in options.services or tried.get(part, ()))
    machine.attach_images([services[name] for name in members], options.suite)
    if "ordinary" in options.parts:
        chosen = [services[name] for name in options.services or ORDINARY]
        found["ordinary"] = ordinary.measure_ordinary_work(machine, chosen, options.minutes, options.learning)
    if not set(RECORDER_PARTS) & set(options.parts):
        return found
    machine.record()
    if "recall" in options.parts:
        found["recall"] = recall.measure_recall(machine, [services[name] for name in options.services or RECALL])
    if {"starts", "attacks"} & set(options.parts):
        chosen = [services[name] for name in options.services or STARTS]
        starts.record_services(machine, chosen)
        if "attacks" in options.parts:
            found["attacks"] = attacks.measure_attacks(machine, chosen)
        if "starts" in options.parts:
            found["starts"] = starts.measure_starts(machine, chosen, options.cycles)
    if "cost" in options.parts:
        found["cost"] = cost.measure_cost(machine, options.rounds)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"default: all of {', '.join(PARTS)}")
    parser.add_argument("--service", dest="services", action="append", help="repeatable; default: the services of each part")
    parser.add_argument("--machine", choices=SETTINGS, action="append", help="engines to try (repeatable); default: remap")
    parser.add_argument("--on", metavar="NAME", help="a running VM of this checkout, which stays")
    parser.add_argument("--suite", default=os.environ.get("SUITE", "trixie"))
    parser.add_argument("--cycles", type=int, default=25, help="per service and option of no-new-privileges, two starts each")
    parser.add_argument("--rounds", type=int, default=5, help="of the part cost")
    parser.add_argument("--minutes", type=float, default=60, help="of the part ordinary, after the learning time")
    parser.add_argument("--learning", type=float, default=15, help="minutes of the learning time of the part ordinary")
    parser.add_argument("--results", type=Path, default=paths.REPOSITORY / ".cache/recording.json")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    found: dict[str, Any] = {}
    for kind in options.machine or ["remap"]:
        name = options.on or f"recording-{kind}"
        try:
            if not options.on:
                start_machine(kind, name, options.suite)
            found[kind] = run_parts(SoakMachine(name, SETTINGS[kind]), options)
        finally:
            if not options.on:
                subprocess.run([sys.executable, "-m", "lab", "down", name], check=False)
    options.results.parent.mkdir(exist_ok=True)
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    problems = list_problems(found)
    print("\n".join(problems) or "soak-recording: passed")
    return 1 if problems else 0


def list_problems(found: dict[str, Any]) -> list[str]:
    """Return what differs from what is promised (docs/recording.md), one message each."""
    problems = []
    for kind, results in found.items():
        for name, entry in results.get("recall", {}).items():
            if entry["missing"]:
                problems.append(f"{kind}: {name}: the recorder lacks {', '.join(entry['missing'])}")
        for entry in results.get("starts", []):
            if entry["problem"] or entry["denied"]:
                problems.append(f"{kind}: {entry['service']}, {entry['options']}: {entry['problem']} denied: {entry['denied']}")
        if "ordinary" in results:
            problems += [f"{kind}: ordinary work: {text}" for text in ordinary.list_problems(results["ordinary"])]
        for entry in results.get("attacks", []):
            if entry["lost"]:
                problems.append(
                    f"{kind}: {entry['service']}: profile bulkhead-web stops {', '.join(entry['lost'])}, the generated one does not"
                )
    return problems


if __name__ == "__main__":
    sys.exit(main())
