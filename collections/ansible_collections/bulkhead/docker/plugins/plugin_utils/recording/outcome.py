# SPDX-License-Identifier: GPL-3.0-or-later
"""From what hosts recorded to the files of each service: merged, judged by the gate, and generated. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .apparmor import generate_apparmor_entry
from .base import Base
from .bases import choose_apparmor_base, choose_seccomp_base
from .compose import generate_compose_override
from .container import generate_container_entry
from .file import read_recording, write_recording
from .gate import Gate, judge
from .generated import APPARMOR, CONTAINERS, SECCOMP, SUFFIX, format_generated
from .generation import ENFORCE, LOG, RECORD, Generated, GenerationError, name_profile
from .merge import merge
from .model import Recording, RecordingError
from .reduction import Reduction, compare_with_default
from .seccomp import generate_seccomp_entry, render_seccomp_entry
from .services import SERVICE, describe_missing, group_instances
from .settings import SERVICES, ServiceSettings, Settings

RECORDING, PROPOSED, OVERRIDE = ".yml", ".proposed.yml", ".compose.override.yml"


@dataclass
class Outcome:
    """What a run makes of one service. texts: end of a file's name -> its text. failure: why nothing but the recording is written."""

    service: str
    settings: ServiceSettings
    recording: Recording
    gate: Gate
    texts: dict[str, str] = field(default_factory=dict)
    reduction: Reduction | None = None
    notes: list[str] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Inventory:
    """The profiles of the inventory. seccomp: name -> text. apparmor: entries of apparmor_profiles_list. directory: of seccomp profiles on hosts."""

    seccomp: Mapping[str, str]
    apparmor: Sequence[Mapping[str, Any]]
    directory: str


def build_outcomes(
    recorded: Mapping[str, Mapping[str, Any]], files: Mapping[str, str], settings: Settings, inventory: Inventory, now: float
) -> tuple[list[Outcome], list[str]]:
    """Return what becomes of each service, and one message per problem that concerns more than one service.

    recorded: host -> what `record_containers` returns. files: service -> text of its recording; services that no host recorded are kept.
    """
    found = group_instances(recorded)
    problems = list(found.problems)
    names = sorted({*found.by_name, *files})
    problems += filter(None, (describe_missing(f"{SERVICES}: name", name, names) for name in sorted(settings.services)))
    outcomes = []
    for service in names:
        try:
            recording = read_recording(files[service], f"{service}{RECORDING}") if service in files else None
            for host, instances in found.by_name.get(service, {}).items():
                recording = merge(recording, service, host, {**recorded[host], "instances": instances})
        except RecordingError as error:
            problems.append(str(error))
            continue
        assert recording
        labels = [instance["labels"] for instances in found.by_name.get(service, {}).values() for instance in instances]
        compose_service = next((each[SERVICE] for each in labels if each.get(SERVICE)), "")
        outcomes.append(_build_outcome(recording, settings, inventory, compose_service, now))
    return outcomes, problems


def _build_outcome(recording: Recording, settings: Settings, inventory: Inventory, compose_service: str, now: float) -> Outcome:
    own = settings.services.get(recording.service, ServiceSettings())
    since = _find_stage_begin(recording) if own.stage == LOG else ""
    outcome = Outcome(recording.service, own, recording, judge(recording, settings.gate, now, since))
    outcome.texts[RECORDING] = write_recording(recording)
    try:
        _generate(outcome, inventory, compose_service)
    except GenerationError as error:
        if own.stage == RECORD:
            outcome.notes.append(str(error))
        else:
            outcome.failure = str(error)
    return outcome


def _find_stage_begin(recording: Recording) -> str:
    """Return the day on which a container first ran under the service's generated profile; empty if none did."""
    own = name_profile(recording.service)
    days = [
        usage.first
        for recorder in recording.recorders.values()
        for name, usage in recorder.configurations.items()
        if own in (recording.configurations[name].seccomp, recording.configurations[name].apparmor)
    ]
    return min(days, default="")


def _generate(outcome: Outcome, inventory: Inventory, compose_service: str) -> None:
    """Add the generated files. Raises GenerationError."""
    own, recording = outcome.settings, outcome.recording
    if own.base and own.base not in inventory.seccomp:
        raise GenerationError(
            f"{SERVICES}: {recording.service}: base {own.base!r} is not a profile of seccomp_profiles_list; write one of its names, or leave it out"
        )
    base = Base(own.base, inventory.seccomp[own.base]) if own.base else choose_seccomp_base(recording, inventory.seccomp)
    proposed = _generate_entries(outcome, base, inventory, ENFORCE)
    entry = proposed[SECCOMP]
    if entry:
        outcome.reduction = _compare(entry, recording)
    outcome.notes += [note for generated in proposed.values() if generated for note in generated.notes]
    if own.stage == ENFORCE and not outcome.gate.passed and not own.reason:
        missing = "; ".join(outcome.gate.missing)
        outcome.failure = (
            f"{recording.service}: stage enforce needs a passed gate, which lacks: {missing}; "
            f"write stage: log in {SERVICES}, or reason: WHY to enforce all the same"
        )
        return
    applied = {ENFORCE: proposed, RECORD: {}}.get(own.stage)
    if applied is None:
        applied = _generate_entries(outcome, base, inventory, LOG)
    outcome.texts[PROPOSED] = format_generated(recording.service, ENFORCE, proposed)
    outcome.texts[SUFFIX] = format_generated(recording.service, own.stage, applied)
    if compose_service and own.stage != RECORD:
        outcome.texts[OVERRIDE] = generate_compose_override(recording, compose_service, inventory.directory)


def _generate_entries(outcome: Outcome, base: Base, inventory: Inventory, stage: str) -> dict[str, Generated | None]:
    """Return the entries of a stage. A kind that was not recorded has none, and the notes say so. Raises GenerationError if nothing was recorded."""
    recording = outcome.recording
    seccomp = generate_seccomp_entry(recording, base, stage, outcome.settings.siblings) if recording.calls else None
    apparmor = generate_apparmor_entry(recording, choose_apparmor_base(recording, inventory.apparmor), stage) if recording.access else None
    if not seccomp and not apparmor:
        raise GenerationError(f"{recording.service}: neither a call nor an access was recorded, so there is nothing to generate")
    container = generate_container_entry(recording)
    return {SECCOMP: seccomp, APPARMOR: apparmor, CONTAINERS: container}


def _compare(generated: Generated, recording: Recording) -> Reduction:
    """Return what the generated profile takes away, on the machine on which most hosts recorded."""
    machines = [environment.machine for environment, hosts in recording.environments.items() for unused in hosts]
    machine = max(sorted(set(machines)), key=machines.count)
    return compare_with_default(render_seccomp_entry(generated.entry), machine)
