# SPDX-License-Identifier: GPL-3.0-or-later
"""From what hosts recorded to the files of each service: merged, judged by the gate, and generated. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.seccomp.semantics import NATIVE
from .apparmor import generate_apparmor_entry
from .base_choice import choose_apparmor_base, choose_seccomp_base
from .compose import PROFILE_KEYS, format_empty_override, generate_compose_override
from .container import generate_container_entry
from .file import read_recording, write_recording
from .gate import Gate, judge_gate
from .generated import APPARMOR, CONTAINERS, SECCOMP, SUFFIX, GeneratedFileError, format_generated, read_stage
from .generation import ENFORCE, LOG, RECORD, Generated, GenerationError, name_profile
from .merge import merge
from .model import Recording, RecordingError
from .reduction import Reduction, compare_with_default
from .seccomp import generate_seccomp_entry, render_seccomp_entry
from .seccomp_base import Base
from .services import SERVICE, describe_missing, group_instances
from .settings import SERVICES, RecordingSettings, ServiceSettings

RECORDING, PROPOSED, OVERRIDE = ".yml", ".proposed.yml", ".compose.override.yml"


@dataclass
class ServiceOutcome:
    """What a run makes of one service. texts: end of a file's name -> its text. failure: why nothing but the recording is written.

    warning: what is to be watched, although all files are written.
    """

    service: str
    settings: ServiceSettings
    recording: Recording
    gate: Gate
    texts: dict[str, str] = field(default_factory=dict)
    reduction: Reduction | None = None
    notes: list[str] = field(default_factory=list)
    warning: str = ""
    failure: str = ""


@dataclass(frozen=True)
class InventoryProfiles:
    """The profiles of the inventory. seccomp: name -> text. apparmor: entries of apparmor_profiles_list. directory: of seccomp profiles on hosts."""

    seccomp: Mapping[str, str]
    apparmor: Sequence[Mapping[str, Any]]
    directory: str


def build_outcomes(
    recorded: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, str],
    generated: Mapping[str, str],
    settings: RecordingSettings,
    inventory: InventoryProfiles,
    now: float,
    overridden: Collection[str] = (),
) -> tuple[list[ServiceOutcome], list[str]]:
    """Return what becomes of each service, and one message per problem of a host, a recording or an entry of the inventory.

    recorded: host -> what `record_containers` returns. files: service -> text of its recording; services that no host recorded are kept.
    generated: service -> text of its generated file. overridden: services that have an override for compose.
    """
    found = group_instances(recorded)
    problems = list(found.problems)
    names = sorted({*found.by_name, *files})
    unknown = [text for name in sorted(settings.services) if (text := describe_missing(f"{SERVICES}: name", name, names))]
    outcomes = []
    for service in names:
        hosts = found.by_name.get(service, {})
        recording, wrong = _merge_hosts(service, hosts, files.get(service), recorded)
        problems += wrong
        if recording is None:
            continue
        labels = [instance["labels"] for instances in hosts.values() for instance in instances]
        compose_service = next((each[SERVICE] for each in labels if each.get(SERVICE)), "")
        former = _read_former(service, generated.get(service))
        own, failure = _find_settings(service, settings, former, bool(hosts))
        outcome = _build_outcome(recording, own, settings, inventory, former, compose_service, now, failure)
        if own.stage == RECORD and service in overridden:
            outcome.texts[OVERRIDE] = format_empty_override(service)
        if unknown:
            # The unknown name may be a misspelt one of this service, which would lose its profiles without an entry.
            outcome.texts = {RECORDING: outcome.texts[RECORDING]}
        outcomes.append(outcome)
    if unknown:
        unknown[-1] += "; until then, no generated file changes"
    return outcomes, list(dict.fromkeys([*problems, *unknown]))


def find_recording_problems(files: Mapping[str, str]) -> list[str]:
    """Return one message per recording that cannot be read. files: service -> text."""
    problems = []
    for service in sorted(files):
        try:
            read_recording(files[service], f"{service}{RECORDING}")
        except RecordingError as error:
            problems.append(str(error))
    return problems


def _merge_hosts(
    service: str, hosts: Mapping[str, list[Mapping[str, Any]]], text: str | None, recorded: Mapping[str, Mapping[str, Any]]
) -> tuple[Recording | None, list[str]]:
    """Return the recording of a service, None without a usable one, and one message per host or file that cannot be used."""
    try:
        recording = None if text is None else read_recording(text, f"{service}{RECORDING}")
    except RecordingError as error:
        return None, [str(error)]
    problems = []
    for host, instances in hosts.items():
        try:
            recording = merge(recording, service, host, {**recorded[host], "instances": instances})
        except RecordingError as error:
            problems.append(str(error))
    return recording, problems


@dataclass(frozen=True)
class _Former:
    """The generated file before this run. stage: empty without a readable one. profiles: entries of both lists of profiles."""

    stage: str = ""
    profiles: tuple[Any, ...] = ()


def _read_former(service: str, text: str | None) -> _Former:
    try:
        stage, lists = read_stage(text or "", f"{service}{SUFFIX}")
    except GeneratedFileError:
        return _Former()
    return _Former(stage, tuple(lists[name] for name in (SECCOMP, APPARMOR)))


def _find_settings(service: str, settings: RecordingSettings, former: _Former, is_recorded: bool) -> tuple[ServiceSettings, str]:
    """Return the settings of a service, and why its generated file cannot be written. is_recorded: by a host of this run.

    A missing entry does not end stage log or enforce: the hosts that have it may not be part of this run.
    """
    own = settings.services.get(service)
    if own is not None or former.stage in ("", RECORD):
        return own or ServiceSettings(), ""
    failure = (
        f"{service}: {service}{SUFFIX} has stage {former.stage}, but no host of this run has an entry of it in {SERVICES}; "
        f"write stage: {RECORD} to end it, or run with the hosts that have the entry"
    )
    return ServiceSettings(former.stage), failure if is_recorded else ""


def _build_outcome(
    recording: Recording,
    own: ServiceSettings,
    settings: RecordingSettings,
    inventory: InventoryProfiles,
    former: _Former,
    compose_service: str,
    now: float,
    failure: str,
) -> ServiceOutcome:
    since = _find_stage_begin(recording) if own.stage == LOG else ""
    outcome = ServiceOutcome(recording.service, own, recording, judge_gate(recording, settings.gate, now, since), failure=failure)
    outcome.texts[RECORDING] = write_recording(recording)
    if own.base and own.base not in inventory.seccomp:
        outcome.failure = (
            f"{SERVICES}: {recording.service}: base {own.base!r} is not a profile of seccomp_profiles_list; "
            "write one of its names, or leave it out"
        )
    if outcome.failure or (recording.service not in settings.services and own.stage != RECORD):
        return outcome
    try:
        _generate(outcome, inventory, former, compose_service)
    except GenerationError as error:
        if own.stage == RECORD:
            outcome.notes.append(str(error))
            if former.stage not in ("", RECORD):  # the end of stage log or enforce does not need generated profiles
                outcome.texts[SUFFIX] = format_generated(recording.service, RECORD, {})
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


def _generate(outcome: ServiceOutcome, inventory: InventoryProfiles, former: _Former, compose_service: str) -> None:
    """Add the generated files. Raises GenerationError."""
    own, recording = outcome.settings, outcome.recording
    base = Base(own.base, inventory.seccomp[own.base]) if own.base else choose_seccomp_base(recording, inventory.seccomp)
    proposed = _generate_entries(outcome, base, inventory, ENFORCE)
    entry = proposed[SECCOMP]
    if entry:
        outcome.reduction = _compare(entry, recording)
    outcome.notes += [note for generated in proposed.values() if generated for note in generated.notes]
    applied: Mapping[str, Generated | None] = {}
    reason = ""
    if own.stage == ENFORCE:
        applied = proposed
        if not outcome.gate.passed and not own.reason.strip():
            _check_enforced(outcome, former, proposed)
            if outcome.failure:
                return
        elif not outcome.gate.passed:
            reason = " ".join(own.reason.split())
    elif own.stage == LOG:
        applied = _generate_entries(outcome, base, inventory, LOG)
    outcome.notes = list(dict.fromkeys(outcome.notes))
    outcome.texts[PROPOSED] = format_generated(recording.service, ENFORCE, proposed)
    outcome.texts[SUFFIX] = format_generated(recording.service, own.stage, applied, reason)
    if compose_service and own.stage != RECORD:
        outcome.texts[OVERRIDE] = generate_compose_override(
            recording, compose_service, inventory.directory, [name for name in (SECCOMP, APPARMOR) if not applied.get(name)]
        )


def _check_enforced(outcome: ServiceOutcome, former: _Former, proposed: Mapping[str, Generated | None]) -> None:
    """Add a warning if the same profiles were enforced before, else the failure: a new image begins the days anew, but changes no profile."""
    missing = "; ".join(outcome.gate.missing)
    if former == _read_former(outcome.service, format_generated(outcome.service, ENFORCE, proposed)):
        outcome.warning = (
            f"{outcome.service}: its profiles stay enforced, but the gate is not passed any more, and lacks: {missing}; "
            f"watch the service, or write stage: log in {SERVICES}"
        )
        return
    kept = f"; until then, its files of stage {former.stage} stay as they are" if former.stage else ""
    outcome.failure = (
        f"{outcome.service}: stage enforce needs a passed gate, which lacks: {missing}; "
        f"write stage: log in {SERVICES}, or reason: WHY to enforce all the same{kept}"
    )


def _generate_entries(outcome: ServiceOutcome, base: Base, inventory: InventoryProfiles, stage: str) -> dict[str, Generated | None]:
    """Return the entries of a stage. A kind for which nothing can be generated has none, and the notes say why.

    Raises GenerationError if there is none of either kind.
    """
    recording = outcome.recording
    makers: dict[str, Callable[[], Generated]] = {
        SECCOMP: lambda: generate_seccomp_entry(recording, base, stage, outcome.settings.siblings),
        APPARMOR: lambda: generate_apparmor_entry(recording, choose_apparmor_base(recording, inventory.apparmor), stage),
    }
    found: dict[str, Generated | None] = {}
    reasons = []
    for name, make in makers.items():
        try:
            found[name] = make()
        except GenerationError as error:
            found[name] = None
            reasons.append(str(error))
    if not any(found.values()):
        raise GenerationError("; ".join(reasons))
    outcome.notes += [f"{name} has no entry: {reason}" for name, reason in zip([n for n in makers if not found[n]], reasons, strict=True)]
    container = generate_container_entry(recording)
    for name in (SECCOMP, APPARMOR):
        if not found[name]:
            container.entry.pop(PROFILE_KEYS[name], None)
    return {**found, CONTAINERS: container}


def _compare(generated: Generated, recording: Recording) -> Reduction | None:
    """Return what the generated profile takes away, on the machine on which most hosts recorded; None if no table of its calls exists."""
    environments = recording.environments.items()
    machines = [environment.machine for environment, hosts in environments if environment.machine in NATIVE for unused in hosts]
    if not machines:
        return None
    machine = max(sorted(set(machines)), key=machines.count)
    return compare_with_default(render_seccomp_entry(generated.entry), machine)
