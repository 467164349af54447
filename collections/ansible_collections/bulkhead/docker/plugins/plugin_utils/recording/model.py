# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one service: a `Recording`. It is the content of recordings/SERVICE.yml. Pure.

A recording is a set of contributions. Each recorder of each host (`HOST/ID`) contributes what it counted since it was armed; collecting it again
replaces its contribution by a newer one. Everything else is computed from the contributions, so the order of collections does not matter.
Days are texts as YYYY-MM-DD, in UTC: a file with times of the day would change with every collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ...module_utils.recorder.store import ACCESS, CALLS
from .sightings import SeenAccess, SeenCall, SeenDeniedCall

FORMAT = 1
MOST_INSTANCES = 50
SOURCES = (CALLS, ACCESS)
# Calls whose first argument (for socket, the family; for clone, the namespace flags) is recorded.
KEYED = ("clone", "personality", "socket")
ACCESS_CLASSES = ("capability", "file", "mount", "network", "other", "ptrace", "signal", "unix", "userns")
# What a `Usage` counts, besides instances.
COUNTED = ("starts", "stops", "restarts", "execs", "health_checks", "oom")


class RecordingError(Exception):
    """A recording that cannot be read or merged. One message: what is wrong where, and what to do."""


@dataclass(frozen=True)
class ContainerMount:
    """A mount of a container. type: bind, volume or tmpfs. source: the folder of the host, or the volume's name."""

    destination: str
    type: str
    source: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class ContainerConfiguration:
    """The settings under which containers ran. Its name is computed from them. Command lines are not kept: they may contain passwords.

    seccomp: name of the profile, `builtin` or `unconfined`. capabilities: the effective ones, such as cap_chown. image_id: the digest.
    """

    image: str
    image_id: str
    user: str
    seccomp: str
    apparmor: str
    userns: str
    no_new_privileges: bool
    read_only: bool
    capabilities: tuple[str, ...]
    networks: tuple[str, ...]
    ports: tuple[str, ...]
    mounts: tuple[ContainerMount, ...]


@dataclass(frozen=True)
class Usage:
    """What one recorder counted of one configuration. first, last: days. instances: containers. starts_seen: of them, those seen from their start."""

    first: str
    last: str
    instances: int = 0
    starts: int = 0
    stops: int = 0
    restarts: int = 0
    execs: int = 0
    health_checks: int = 0
    oom: int = 0
    starts_seen: int = 0


@dataclass(frozen=True)
class Environment:
    """What a host ran. machine: as `uname -m`. kernel: as `uname -r`. runtime: such as `runc 1.1.15`."""

    machine: str
    kernel: str
    engine: str
    runtime: str
    libseccomp: str
    apparmor_parser: str


@dataclass(frozen=True)
class Days:
    """The first and the last day of something."""

    first: str
    last: str


@dataclass(frozen=True)
class Source:
    """Whether calls or accesses are recorded on a host. status: recording, unavailable or off. reason: why not, one message."""

    status: str
    reason: str = ""


@dataclass(frozen=True)
class Gap:
    """Why something may be missing. begin, end: days; empty if unknown or not over. lost: how many, if that is known."""

    kind: str
    source: str
    text: str
    begin: str = ""
    end: str = ""
    profile: str = ""
    instance: str = ""
    lost: int | None = None


@dataclass(frozen=True)
class RecorderEntry:
    """What one recorder of one host contributed, besides its sightings.

    since: when it was armed. at: when it was last collected (both YYYY-MM-DDTHH:MM:SSZ). environments: what the host ran, and when.
    instances: short IDs of containers, at most MOST_INSTANCES. days: those on which a container of the service ran.
    running: names of the configurations of the containers that ran when it was collected.
    """

    host: str
    id: str
    since: str
    at: str
    environments: Mapping[Environment, Days]
    sources: Mapping[str, Source]
    gaps: tuple[Gap, ...] = ()
    instances: frozenset[str] = frozenset()
    days: frozenset[str] = frozenset()
    configurations: Mapping[str, Usage] = field(default_factory=dict)
    running: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The text that identifies it."""
        return f"{self.host}/{self.id}"


@dataclass(frozen=True)
class Recording:
    """What is known of one service.

    calls, denied_calls: by name. access: sorted by its key. written: paths that were added or changed in the writable layer.
    peaks: `pids` and `memory` (bytes), the highest of any container. configurations: by name. recorders: by key.
    """

    service: str
    recorders: Mapping[str, RecorderEntry] = field(default_factory=dict)
    configurations: Mapping[str, ContainerConfiguration] = field(default_factory=dict)
    calls: Mapping[str, SeenCall] = field(default_factory=dict)
    denied_calls: Mapping[str, SeenDeniedCall] = field(default_factory=dict)
    access: tuple[SeenAccess, ...] = ()
    written: tuple[str, ...] = ()
    peaks: Mapping[str, int] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The first day on which a container of the service was seen; empty without any."""
        return min((day for recorder in self.recorders.values() for day in recorder.days), default="")

    @property
    def last(self) -> str:
        """The last day on which a container of the service was seen; empty without any."""
        return max((day for recorder in self.recorders.values() for day in recorder.days), default="")

    @property
    def hosts(self) -> list[str]:
        """The hosts on which the service was recorded."""
        return sorted({recorder.host for recorder in self.recorders.values()})

    @property
    def images(self) -> list[tuple[str, str]]:
        """Each image as name and digest."""
        return sorted({(configuration.image, configuration.image_id) for configuration in self.configurations.values()})

    @property
    def environments(self) -> dict[Environment, list[str]]:
        """What the hosts ran -> the hosts."""
        found: dict[Environment, set[str]] = {}
        for recorder in self.recorders.values():
            for environment in recorder.environments:
                found.setdefault(environment, set()).add(recorder.host)
        return {environment: sorted(found[environment]) for environment in sorted(found, key=repr)}

    @property
    def gaps(self) -> list[tuple[str, Gap]]:
        """Each gap with its host."""
        return [(recorder.host, gap) for unused, recorder in sorted(self.recorders.items()) for gap in recorder.gaps]

    @property
    def sources(self) -> dict[str, dict[str, Source]]:
        """Host -> `calls` and `access` -> whether they are recorded, by the host's newest recorder."""
        return {recorder.host: dict(recorder.sources) for recorder in self.list_current_recorders()}

    @property
    def current(self) -> list[ContainerConfiguration]:
        """The configurations that ran at the newest collection of each host; the last ones that ran, if none did."""
        names = {name for recorder in self.list_current_recorders() for name in recorder.running}
        if not names:
            last = {
                name: max(usage.last for recorder in self.recorders.values() if (usage := recorder.configurations.get(name)))
                for name in {name for recorder in self.recorders.values() for name in recorder.configurations}
            }
            names = {name for name, day in last.items() if day == max(last.values())}
        return [self.configurations[name] for name in sorted(names)]

    @property
    def user(self) -> str:
        """The user of the current containers; the first one in order if they differ (`current` has all)."""
        return min((configuration.user for configuration in self.current), default="")

    @property
    def capabilities(self) -> list[str]:
        """The effective capabilities of the current containers, such as cap_chown."""
        return _join(configuration.capabilities for configuration in self.current)

    @property
    def networks(self) -> list[str]:
        """The networks of the current containers."""
        return _join(configuration.networks for configuration in self.current)

    @property
    def ports(self) -> list[str]:
        """The published ports of the current containers."""
        return _join(configuration.ports for configuration in self.current)

    @property
    def mounts(self) -> list[ContainerMount]:
        """The mounts of the current containers."""
        found = {mount for configuration in self.current for mount in configuration.mounts}
        return sorted(found, key=lambda mount: (mount.destination, mount.type, mount.source, mount.read_only))

    def list_current_recorders(self) -> list[RecorderEntry]:
        """Return the newest recorder of each host."""
        newest: dict[str, RecorderEntry] = {}
        for recorder in self.recorders.values():
            other = newest.get(recorder.host)
            if other is None or (recorder.since, recorder.id) > (other.since, other.id):
                newest[recorder.host] = recorder
        return [newest[host] for host in sorted(newest)]


def limit_instances(instances: Iterable[str]) -> frozenset[str]:
    """Return the lowest IDs of too many. IDs are random, and the lowest ones of a union are among the lowest ones of its parts."""
    return frozenset(sorted(instances)[:MOST_INSTANCES])


def _join(parts: Iterable[Iterable[str]]) -> list[str]:
    return sorted({part for each in parts for part in each})
