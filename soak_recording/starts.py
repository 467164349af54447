# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs services under their generated profiles again and again, and counts what the profiles denied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab.progress import say
from services import data
from soak_recording.machine import SoakMachine, build_job
from soak_recording.profiles import list_options, name_profile

LEARNING_CYCLES = 2
_OPTIONS = {"no-new-privileges": [], "without no-new-privileges": ["--security-opt=no-new-privileges=false"]}
Denials = set[tuple[str, ...]]


def record_services(machine: SoakMachine, services: Sequence[data.TableService]) -> None:
    """Record some cycles with both options, and generate the profiles."""
    for title, options in _OPTIONS.items():
        results = machine.run_jobs("cycles.py", [build_job(each, machine.setting, options, cycles=LEARNING_CYCLES) for each in services])
        for result in results:
            say(f"recorded {title}: {result}")
    machine.record({each.container: "enforce" for each in services})
    machine.install_profiles()


def measure_starts(machine: SoakMachine, services: Sequence[data.TableService], cycles: int) -> list[dict[str, Any]]:
    """Return what each service did under its profiles, and what was denied that was not denied while it was recorded."""
    instances = machine.collect()
    before = {each.name: _list_denied(instances, each, under=False) for each in services}
    found = []
    for title, options in _OPTIONS.items():
        jobs = [
            build_job(each, machine.setting, [*options, *list_options(name_profile(each.container))], cycles=cycles) for each in services
        ]
        found += [{**result, "options": title} for result in machine.run_jobs("cycles.py", jobs)]
    instances = machine.collect()
    for result in found:
        service = next(each for each in services if each.name == result["service"])
        result["denied"] = sorted(_list_denied(instances, service, under=True) - before[service.name])
        if not any(_is_under_own_profile(instance, service) for instance in instances if instance["name"] == service.container):
            result["problem"] = result["problem"] or f"the recorder knows no container of profile {name_profile(service.container)}"
        say(f"starts: {result}")
    return found


def _list_denied(instances: Iterable[Mapping[str, Any]], service: data.TableService, under: bool) -> Denials:
    """Return what the containers of a service were denied. under: of those with the generated profiles, or of the others."""
    denied: Denials = set()
    for instance in instances:
        if instance["name"] == service.container and _is_under_own_profile(instance, service) == under:
            denied |= {("call", call["name"], str(call["errno"])) for call in instance["denied_calls"]}
            for entry in instance["access"]:
                if entry["denied"]:
                    described = {key: value for key, value in entry.items() if key not in ("denied", "count", "first", "last")}
                    denied.add(tuple(f"{key}={value}" for key, value in sorted(described.items())))
    return denied


def _is_under_own_profile(instance: Mapping[str, Any], service: data.TableService) -> bool:
    return bool(instance["apparmor"] == name_profile(service.container))
