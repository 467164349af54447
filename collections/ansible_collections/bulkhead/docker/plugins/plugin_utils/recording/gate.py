# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges whether a recording is complete enough to enforce the profiles that are generated from it, and says what is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ...module_utils.formatting import format_names
from .coverage import Coverage, measure_coverage
from .days import count_days, format_day
from .estimate import Estimate, estimate_unseen
from .file_rules import generalise_paths
from .model import ACCESS, CALLS, ContainerMount, Gap, RecorderEntry, Recording
from .sightings import SeenAccess

PREFIX = "container_recorder_gate_"
_OFF, _RECORDING = "off", "recording"
_SHOWN = 5
# What must have been recorded: name of the setting -> words for one and for several.
_COUNTS = {
    "instances": ("container", "containers"),
    "starts": ("start", "starts"),
    "stops": ("stop", "stops"),
    "restarts": ("restart", "restarts"),
    "execs": ("command by exec", "commands by exec"),
    "health_checks": ("health check", "health checks"),
}


@dataclass(frozen=True)
class GateSettings:
    """The variables `container_recorder_gate_NAME`. health_checks: of services that have one."""

    days: int = 7
    instances: int = 2
    starts: int = 2
    stops: int = 1
    restarts: int = 1
    execs: int = 0
    health_checks: int = 1


@dataclass(frozen=True)
class Gate:
    """passed: whether enforcing is reasonable. missing: what is not, one message each. quiet: days without anything new. estimate: of what is unseen."""

    passed: bool
    missing: tuple[str, ...]
    quiet: int
    coverage: Coverage
    estimate: Estimate


def read_gate_settings(variables: Mapping[str, Any]) -> tuple[GateSettings, list[str]]:
    """Return the settings in the variables of role container_recorder, and one message per wrong value."""
    values, problems = {}, []
    for field in fields(GateSettings):
        value = variables.get(PREFIX + field.name, field.default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            problems.append(f"{PREFIX}{field.name}: {value!r} is not a number from 0; write one, such as {field.default}")
        else:
            values[field.name] = value
    return GateSettings(**values), problems


def judge_gate(recording: Recording, settings: GateSettings, now: float, stage_since: str = "") -> Gate:
    """Return what is missing before enforcing. now: seconds since the epoch. stage_since: the day on which stage log began; empty before.

    Only days on which a container of the service was recorded count. A new call, access, image or runtime begins them anew, and so does stage log.
    Starts and the like count for the image digests that run now. Denied calls and accesses are nothing new, because no profile will allow them.
    """
    today = format_day(now)
    images = {configuration.image_id for configuration in recording.current}
    coverage = measure_coverage(recording, images)
    total = measure_coverage(recording)
    events = list(_list_events(recording, stage_since))
    days = [day for day in total.days if day <= today]
    missing = []
    quiet = len(days)
    for what, detail, day in events:
        passed = len([each for each in days if each > day])
        quiet = min(quiet, passed)
        if passed < settings.days:
            missing.append(f"{passed} of {settings.days} days {what}; {detail} on {day}")
    if not recording.calls:
        missing.append("No system call was recorded.")
    missing += _list_uncovered(total, coverage, settings)
    missing += _list_sources(recording)
    missing += _list_gaps(recording, coverage, settings, today)
    return Gate(not missing, tuple(missing), quiet, coverage, estimate_unseen(recording))


def _list_events(recording: Recording, stage_since: str) -> Iterator[tuple[str, str, str]]:
    """Yield each event that begins the days anew: what the days are, what the event was, and its day."""
    if recording.calls:
        call = max(recording.calls.values(), key=lambda call: (call.newest, call.name))
        yield "without a new call", f"last new call: {call.name}", call.newest
    found = find_last_access(recording.access, recording.mounts)
    if found:
        yield "without a new access", f"last new access: {found[0]}", found[1]
    firsts: dict[str, str] = {}
    for recorder in recording.recorders.values():
        for name, usage in recorder.configurations.items():
            image = recording.configurations[name].image_id
            firsts[image] = min(usage.first, firsts.get(image, usage.first))
    for configuration in {configuration.image_id: configuration for configuration in recording.current}.values():
        day = firsts.get(configuration.image_id, recording.first)
        digest = configuration.image_id.removeprefix("sha256:")[:12]
        yield "with the image that runs now", f"first container of {configuration.image} ({digest})", day
    yield from _list_environments(recording)
    if stage_since:
        yield "in stage log", "it began", stage_since


def _list_environments(recording: Recording) -> Iterator[tuple[str, str, str]]:
    """Yield each runtime and kernel series (such as 6.12) that hosts run now: what its days are, what the event was, and its day.

    What a recorder saw first counts from the day on which it was armed: the host had it since then at least.
    """
    firsts: dict[tuple[str, str], str] = {}
    current = set()
    newest_recorders = recording.list_current_recorders()
    for recorder in recording.recorders.values():
        if not recorder.environments:  # a recording that was edited by hand
            continue
        earliest = min(days.first for days in recorder.environments.values())
        newest = max(recorder.environments.items(), key=lambda item: (item[1].last, item[1].first))[0]
        is_current = recorder in newest_recorders
        for environment, days in recorder.environments.items():
            first = min(recorder.since[:10], days.first) if days.first == earliest else days.first
            for key in (("runtime", environment.runtime), ("kernel", ".".join(environment.kernel.split(".")[:2]))):
                firsts[key] = min(first, firsts.get(key, first))
                if is_current and environment == newest:
                    current.add(key)
    for kind, name in sorted(current):
        yield f"with the {kind} that runs now", f"{name or 'unknown'} was first recorded", firsts[kind, name]


def find_last_access(accesses: Iterable[SeenAccess], mounts: Sequence[ContainerMount]) -> tuple[str, str] | None:
    """Return the last new access and its day; None without any. A file below a folder that an earlier rule allows as a whole is not new."""
    allowed = [access for access in accesses if not access.denied]
    files = [access for access in allowed if access.access["class"] == "file"]
    others = [(access.key, access.first) for access in allowed if access.access["class"] != "file"]
    expected = _list_rules(files, mounts)
    for day in sorted({access.first for access in files}, reverse=True):
        earlier = [access for access in files if access.first < day]
        before = _list_rules(earlier, mounts)
        if before != expected:
            newest = [access for access in files if access.first == day]
            name = next((access.key for access in newest if _list_rules([*earlier, access], mounts) != before), newest[0].key)
            others.append((name, day))
            break
    return max(others, key=lambda item: (item[1], item[0]), default=None)


def _list_rules(files: Sequence[SeenAccess], mounts: Sequence[ContainerMount]) -> set[str]:
    return {rule.text for rule in generalise_paths(files, mounts)}


def _list_uncovered(total: Coverage, coverage: Coverage, settings: GateSettings) -> Iterator[str]:
    if not coverage.starts_seen:
        yield "No container was recorded from its creation on; create one anew, because the first start may do what no restart does."
    of_image = " of the image that runs now" if total != coverage else ""
    for name, (one, many) in _COUNTS.items():
        required, recorded = getattr(settings, name), getattr(coverage, name)
        if name == "health_checks" and not total.health_checks:
            continue  # the service has none: a health check is recorded within seconds
        if recorded < required:
            yield f"{recorded} of {required} {one if required == 1 else many}{of_image} recorded."


def _list_sources(recording: Recording) -> Iterator[str]:
    for host, sources in recording.sources.items():
        for name, source in sources.items():
            if source.status != _RECORDING and not (name == ACCESS and source.status == _OFF):
                what = "Calls are" if name == CALLS else "Accesses are"
                yield f"{what} not recorded on {host}: {source.reason or 'the recorder is switched off'}."


def _list_gaps(recording: Recording, coverage: Coverage, settings: GateSettings, today: str) -> Iterator[str]:
    """Yield the gaps of the last days, and those that are not over."""
    found: dict[str, list[str]] = {}
    current = {recorder.key for recorder in recording.list_current_recorders()}
    for recorder in recording.recorders.values():
        for gap in recorder.gaps:
            if _is_relevant(gap, recorder, coverage):
                end = gap.end or ("" if recorder.key in current else recorder.at[:10])
                if not end or count_days(end, today) < settings.days:
                    found.setdefault(gap.text, []).append(f"{recorder.host} {_describe_time(gap.begin, end)}")
    for text in sorted(found)[:_SHOWN]:
        yield f"A gap of the last {settings.days} days: {text} ({format_names(sorted(set(found[text])))})."
    if len(found) > _SHOWN:
        yield f"{len(found) - _SHOWN} more kinds of gaps of the last {settings.days} days."


def _is_relevant(gap: Gap, recorder: RecorderEntry, coverage: Coverage) -> bool:
    """Return whether a gap matters. One of a switched-off source does not, nor a missed start if another container was seen from its creation on."""
    source = recorder.sources.get(gap.source)
    return not (source and source.status == _OFF) and not (gap.kind == "start_not_seen" and coverage.starts_seen)


def _describe_time(begin: str, end: str) -> str:
    if begin and begin == end:
        return f"on {begin}"
    if begin and end:
        return f"from {begin} to {end}"
    return f"until {end}" if end else f"since {begin}" if begin else "all the time"
