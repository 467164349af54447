# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the module `record_containers` returned: what one recorder of one host contributes to the recording of a service. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ...module_utils.recorder.paths import generalise_variables
from ...module_utils.seccomp.syscalls_other import list_known_names
from .days import format_day, format_time, list_days
from .model import (
    COUNTED,
    FORMAT,
    KEYED,
    SOURCES,
    ContainerConfiguration,
    ContainerMount,
    Days,
    Environment,
    Gap,
    RecorderEntry,
    Recording,
    RecordingError,
    Source,
    Usage,
    limit_instances,
)
from .services import is_unnamed, name_service
from .sightings import ACCESS_KEYS, MACHINES, SeenAccess, SeenCall, SeenDeniedCall, Sighting, sort_accesses


def read_contribution(service: str, host: str, recorded: Mapping[str, Any]) -> Recording:
    """Return what a host recorded of a service, as a recording; an empty one if it has no container of the service. Raises RecordingError."""
    if recorded["format"] != FORMAT:
        raise RecordingError(
            f"{host}: format {recorded['format']!r} of what was recorded is unknown; use the release of Bulkhead that armed the recorder, "
            "or stop and start recording"
        )
    machine = recorded["host"]["machine"]
    if machine not in MACHINES.values():
        raise RecordingError(
            f"{host}: machine {machine!r} has no table of system calls; record on {' or '.join(sorted(set(MACHINES.values())))}, "
            "or remove the host from the run"
        )
    instances = [instance for instance in recorded["instances"] if not is_unnamed(instance) and name_service(instance) == service]
    return _Contribution(service, host, recorded, instances).build() if instances else Recording(service)


def name_configuration(configuration: ContainerConfiguration) -> str:
    """Return the name of a configuration: the first digits of the hash of its values."""
    return hashlib.sha256(json.dumps(asdict(configuration), sort_keys=True).encode()).hexdigest()[:8]


class _Contribution:
    """Builds the recording of one service from what one host recorded of its instances."""

    def __init__(self, service: str, host: str, recorded: Mapping[str, Any], instances: list[Mapping[str, Any]]) -> None:
        self.service, self.host, self.recorded, self.instances = service, host, recorded, instances
        self.key = f"{host}/{recorded['recorder']['id']}"
        self.names = list_known_names()

    def build(self) -> Recording:
        configurations = {instance["id"]: _read_configuration(instance) for instance in self.instances if instance["image_id"]}
        peaks = {
            name: max(values)
            for name in ("memory", "pids")
            if (values := [value for instance in self.instances if (value := (instance.get("peaks") or {}).get(name))])
        }
        return Recording(
            self.service,
            recorders={self.key: self._read_recorder(configurations)},
            configurations={name_configuration(configuration): configuration for configuration in configurations.values()},
            calls=self._read_calls(),
            denied_calls=self._read_denied_calls(),
            access=self._read_accesses(),
            written=tuple(sorted({generalise_variables(path) for instance in self.instances for path in instance["written"]})),
            peaks=peaks,
        )

    def _read_recorder(self, configurations: Mapping[str, ContainerConfiguration]) -> RecorderEntry:
        recorder, host = self.recorded["recorder"], self.recorded["host"]
        at = recorder["at"] or recorder["since"]
        day = format_day(at)
        usages: dict[str, Usage] = {}
        for instance in self.instances:
            if instance["id"] in configurations:
                name = name_configuration(configurations[instance["id"]])
                usage = _read_usage(instance)
                usages[name] = _add_usages(usages[name], usage) if name in usages else usage
        environment = Environment(*(str(host.get(name) or "") for name in Environment.__dataclass_fields__))
        return RecorderEntry(
            self.host,
            recorder["id"],
            since=format_time(recorder["since"]),
            at=format_time(at),
            environments={environment: Days(day, day)},
            sources={
                name: Source(source["status"], source.get("reason") or "")
                for name, source in self.recorded["sources"].items()
                if name in SOURCES
            },
            gaps=self._read_gaps(),
            instances=limit_instances(instance["id"][:12] for instance in self.instances),
            days=frozenset(
                day for instance in self.instances for day in list_days(format_day(instance["first"]), format_day(instance["last"]))
            ),
            configurations={name: usages[name] for name in sorted(usages)},
            running=frozenset(
                name_configuration(configurations[instance["id"]])
                for instance in self.instances
                if instance["running"] and instance["id"] in configurations
            ),
        )

    def _read_gaps(self) -> tuple[Gap, ...]:
        """Return the gaps of the host that concern this service."""
        instances = {instance["id"] for instance in self.instances}
        profiles = {instance[kind] for instance in self.instances for kind in ("seccomp", "apparmor")}
        found = [
            Gap(
                gap["kind"],
                gap["source"],
                " ".join(gap["text"].split()),
                begin="" if gap["from"] is None else format_day(gap["from"]),
                end="" if gap["to"] is None else format_day(gap["to"]),
                profile=gap["profile"] or "",
                instance=(gap["instance"] or "")[:12],
                lost=gap["lost"],
            )
            for gap in self.recorded["gaps"]
            if (gap["instance"] is None or gap["instance"] in instances) and (gap["profile"] is None or gap["profile"] in profiles)
        ]
        return tuple(sorted(found, key=lambda gap: (gap.begin, gap.kind, repr(gap))))

    def _read_calls(self) -> dict[str, SeenCall]:
        entries = self._gather("calls", self._name_call)
        return {
            name: SeenCall(
                name=name,
                abis=_first_days(entries[name], "abi"),
                arguments=_first_days([e for e in entries[name] if name in KEYED or e[1].get("argument") is not None], "argument"),
                seen={self.key: _read_sighting(entries[name])},
            )
            for name in sorted(entries)
        }

    def _read_denied_calls(self) -> dict[str, SeenDeniedCall]:
        entries = self._gather("denied_calls", self._name_call)
        return {
            name: SeenDeniedCall(
                name=name,
                abis=_first_days(entries[name], "abi"),
                errnos=_first_days(entries[name], "errno"),
                seen={self.key: _read_sighting(entries[name])},
            )
            for name in sorted(entries)
        }

    def _read_accesses(self) -> tuple[SeenAccess, ...]:
        entries = self._gather("access", lambda entry: json.dumps([_clean_access(entry), bool(entry["denied"])]))
        found = []
        for text in entries:
            access, denied = json.loads(text)
            first = format_day(min(entry["first"] for unused, entry in entries[text]))
            found.append(SeenAccess(access=access, denied=denied, first=first, seen={self.key: _read_sighting(entries[text])}))
        return sort_accesses(found)

    def _gather(self, part: str, identify: Callable[[Mapping[str, Any]], str]) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
        """Return what was seen -> each entry with the ID of its instance."""
        found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for instance in self.instances:
            for entry in instance[part]:
                found.setdefault(identify(entry), []).append((instance["id"], entry))
        return found

    def _name_call(self, entry: Mapping[str, Any]) -> str:
        name = str(entry["name"])
        if name not in self.names and not name.isdecimal():
            raise RecordingError(
                f"{self.host}: {name!r} is not a system call that this release knows; use the release that armed the recorder"
            )
        if entry["abi"] not in MACHINES:
            raise RecordingError(
                f"{self.host}: {entry['abi']!r} is not an ABI that this release knows; use the release that armed the recorder"
            )
        return name


def _clean_access(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an access that are set, in the order in which they are described."""
    found: dict[str, Any] = {}
    for key in ACCESS_KEYS:
        value = entry.get(key)
        if value not in (None, False, ""):
            found[key] = value if value is True or isinstance(value, str) else json.dumps(value)
    return found


def _first_days(entries: Iterable[tuple[str, Mapping[str, Any]]], key: str) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for unused, entry in entries:
        day = format_day(entry["first"])
        found[entry[key]] = min(day, found.get(entry[key], day))
    return {value: found[value] for value in sorted(found, key=lambda value: (value is None, value))}


def _read_sighting(entries: list[tuple[str, Mapping[str, Any]]]) -> Sighting:
    instances = sorted({identifier[:12] for identifier, unused in entries})
    last = format_day(max(entry["last"] for unused, entry in entries))
    return Sighting(sum(entry["count"] for unused, entry in entries), len(instances), last, instances[0] if len(instances) == 1 else "")


def _read_usage(instance: Mapping[str, Any]) -> Usage:
    events = instance["events"]
    counts = {name: int(events.get(name) or 0) for name in COUNTED}
    return Usage(
        first=format_day(instance["first"]),
        last=format_day(instance["last"]),
        instances=1,
        starts_seen=int(bool(events.get("start_seen") and events.get("starts"))),
        **counts,
    )


def _add_usages(one: Usage, other: Usage) -> Usage:
    """Return the counts of two different instances together."""
    counts = {key: getattr(one, key) + getattr(other, key) for key in ("instances", "starts_seen", *COUNTED)}
    return Usage(first=min(one.first, other.first), last=max(one.last, other.last), **counts)


def _read_configuration(instance: Mapping[str, Any]) -> ContainerConfiguration:
    mounts = [
        ContainerMount(
            mount["destination"],
            mount["type"],
            "" if _is_anonymous(mount) else generalise_variables(mount.get("source") or ""),
            bool(mount.get("read_only")),
        )
        for mount in instance["mounts"]
    ]
    return ContainerConfiguration(
        image=instance["image"],
        image_id=instance["image_id"],
        user=instance["user"],
        seccomp=instance["seccomp"],
        apparmor=instance["apparmor"],
        userns=instance["userns"],
        no_new_privileges=bool(instance["no_new_privileges"]),
        read_only=bool(instance["read_only"]),
        capabilities=tuple(sorted(instance["capabilities"])),
        networks=tuple(sorted(instance["networks"])),
        ports=tuple(sorted(instance["ports"])),
        mounts=tuple(sorted(mounts, key=lambda mount: (mount.destination, mount.type, mount.source, mount.read_only))),
    )


def _is_anonymous(mount: Mapping[str, Any]) -> bool:
    """Return whether a volume has a random name, which is another one for each container."""
    source = mount.get("source") or ""
    return mount["type"] == "volume" and len(source) == 64 and set(source) <= set("0123456789abcdef")
