# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the inventory says of services: their stages, and what the gate needs. One answer for all hosts of a play. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from . import gate
from .generation import RECORD

SERVICES = "container_recorder_services"


@dataclass(frozen=True)
class ServiceSettings:
    """What the inventory says of one service: an entry of container_recorder_services."""

    stage: str = RECORD
    reason: str = ""
    base: str = ""
    siblings: bool = True


@dataclass
class RecordingSettings:
    """services: by name. gate: what the gate needs. problems: one message each."""

    services: dict[str, ServiceSettings] = field(default_factory=dict)
    gate: gate.GateSettings = field(default_factory=gate.GateSettings)
    problems: list[str] = field(default_factory=list)


def read_recording_settings(desired: Mapping[str, Mapping[str, Any]]) -> RecordingSettings:
    """Return the settings of all hosts, which must agree. desired: host -> the values of its variables, of the right types."""
    found = RecordingSettings()
    first = ""
    writers: dict[str, str] = {}
    for host in sorted(desired):
        values = desired[host]
        own, problems = gate.read_gate_settings(values)
        found.problems += problems
        services = _read_services(host, values.get(SERVICES) or [], found.problems)
        if not first:
            first, found.gate = host, own
        for key, number in asdict(own).items():
            known = getattr(found.gate, key)
            if number != known:
                found.problems.append(f"{gate.PREFIX}{key}: is {known} for {first} and {number} for {host}; write one value for all hosts")
        for name, settings in services.items():
            writer = writers.setdefault(name, host)
            if found.services.setdefault(name, settings) != settings:
                found.problems.append(
                    f"{SERVICES}: {name} has different entries for {writer} and {host}; write one for all hosts of the service"
                )
    found.problems = list(dict.fromkeys(found.problems))
    return found


def _read_services(host: str, entries: list[Mapping[str, Any]], problems: list[str]) -> dict[str, ServiceSettings]:
    services: dict[str, ServiceSettings] = {}
    for entry in entries:
        name = entry["name"]
        if name in services:
            problems.append(f"{SERVICES}: {name} is listed twice for {host}; write it once")
        services[name] = ServiceSettings(**{key: value for key, value in entry.items() if key != "name" and value is not None})
    return services
