# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks copies of services under their generated profiles, each profile as the only layer, and compares with profile bulkhead-web."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lab.progress import say
from services import data
from soak_recording.machine import SoakMachine
from soak_recording.profiles import list_options, name_profile

LAYERS = ("seccomp", "apparmor")


def measure_attacks(machine: SoakMachine, services: Sequence[data.TableService]) -> list[dict[str, Any]]:
    """Return per service and layer which attacks its profile stops, and those that bulkhead-web stops and it does not."""
    reference = _attack(machine, services[0], list_options("bulkhead-web"))
    found = []
    for service in services:
        own = _attack(machine, service, list_options(name_profile(service.container)))
        for layer in LAYERS:
            stopped, unknown = own[layer]["blocked"], own[layer]["unknown"]
            entry = {
                "service": service.name,
                "layer": layer,
                "stopped": len(stopped),
                "stopped_by_web": len(reference[layer]["blocked"]),
                "not_started": len(unknown),
                "lost": sorted(reference[layer]["blocked"] - stopped - unknown),
            }
            say(f"attacks: {entry}")
            found.append(entry)
    return found


def _attack(machine: SoakMachine, service: data.TableService, options: Sequence[str]) -> dict[str, dict[str, set[str]]]:
    """Return layer -> outcome -> attacks, of a container of the service with these options."""
    machine.start(service, options)
    machine.run_playbook(
        "attack", "-e", f"bulkhead_container={service.container}", "-e", json.dumps({"attack_matrix_configurations": list(LAYERS)})
    )
    (path,) = machine.folder.glob("reports/attack-*.json")
    rows = json.loads(path.read_text(encoding="utf-8"))["matrix"]["attacks"]
    machine.run(f"docker rm -f {service.container}")
    return {
        layer: {outcome: {row["name"] for row in rows if row["cells"][layer]["outcome"] == outcome} for outcome in ("blocked", "unknown")}
        for layer in LAYERS
    }
