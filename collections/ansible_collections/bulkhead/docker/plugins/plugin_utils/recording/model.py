# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one service: a `Recording`. It is the content of recordings/SERVICE.yml. Pure.

A recording is a set of contributions. Each recorder of each host (`HOST/ID`) contributes what it counted since it was armed; collecting it again
replaces its contribution by a newer one. Everything else is computed from the contributions, so the order of collections does not matter.
Days are texts as YYYY-MM-DD, in UTC: a file with times of the day would change with every collection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.seccomp.syscalls import AARCH64, X86_64

FORMAT = 1
MOST_INSTANCES = 50
CALLS, ACCESS, EVENTS = "calls", "access", "events"
SOURCES = (CALLS, ACCESS)
# ABI of a call -> machine, as `uname -m` names it.
MACHINES = {X86_64: X86_64, "i386": X86_64, "x32": X86_64, AARCH64: AARCH64, "arm": AARCH64}
# Calls whose first argument (for socket, the family; for clone, the namespace flags) is recorded.
KEYED = ("clone", "personality", "socket")
# The keys of an access, in the order in which it is described. `class` is the first one.
ACCESS_KEYS = (
    "class", "operation", "name", "family", "type", "direction", "signal", "mask", "owner", "fstype", "flags", "source", "address", "detail",
    "peer", "path", "target",
)  # fmt: skip
ACCESS_CLASSES = ("capability", "file", "mount", "network", "other", "ptrace", "signal", "unix", "userns")
_SIMPLE = re.compile(r'[^\s="]+')


class RecordingError(Exception):
    """A recording that cannot be read or merged. One message: what is wrong where, and what to do."""


@dataclass(frozen=True)
class Sighting:
    """How often one recorder saw one call or access. instances: containers. by: the container's short ID if it was only one. last: day."""

    count: int
    instances: int
    last: str
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What calls and accesses have in common. seen: key of a recorder (`HOST/ID`) -> what it saw."""

    seen: Mapping[str, Sighting]

    @property
    def count(self) -> int:
        """How often it was seen."""
        return sum(sighting.count for sighting in self.seen.values())

    @property
    def hosts(self) -> list[str]:
        """The hosts on which it was seen."""
        return sorted({get_host(key) for key in self.seen})

    @property
    def last(self) -> str:
        """The last day on which it was seen."""
        return max(sighting.last for sighting in self.seen.values())

    @property
    def instances(self) -> int:
        """The least number of containers that made it. A container that two recorders of a host saw counts once."""
        known = {sighting.by for sighting in self.seen.values() if sighting.by}
        return max(len(known), sum_per_host({key: sighting.instances for key, sighting in self.seen.items()}))

    @property
    def is_of_one_instance(self) -> bool:
        """Whether only one container ever made it."""
        return all(sighting.by for sighting in self.seen.values()) and len({sighting.by for sighting in self.seen.values()}) == 1


@dataclass(frozen=True, kw_only=True)
class SeenCall(Seen):
    """A system call that was made.

    abis: ABI (x86_64, i386, x32, aarch64, arm) -> day on which it was first made with it. arguments: value of the first argument -> day, for the
    calls of KEYED; None stands for a call whose argument was not recorded.
    """

    name: str
    abis: Mapping[str, str]
    arguments: Mapping[int | None, str] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The day on which it was first made."""
        return min(self.abis.values())

    @property
    def newest(self) -> str:
        """The last day that showed something new about it: the call, an ABI or an argument."""
        return max([*self.abis.values(), *self.arguments.values()])

    @property
    def machines(self) -> list[str]:
        """The machines on which it was made, as `uname -m` names them."""
        return sorted({MACHINES.get(abi, abi) for abi in self.abis})


@dataclass(frozen=True, kw_only=True)
class SeenDeniedCall(Seen):
    """A system call that seccomp denied. abis: ABI -> first day. errnos: error number that the program got -> first day."""

    name: str
    abis: Mapping[str, str]
    errnos: Mapping[int, str]

    @property
    def first(self) -> str:
        """The day on which it was first denied."""
        return min(self.abis.values())

    @property
    def newest(self) -> str:
        """The last day that showed something new about it."""
        return max([*self.abis.values(), *self.errnos.values()])

    @property
    def machines(self) -> list[str]:
        """The machines on which it was denied, as `uname -m` names them."""
        return sorted({MACHINES.get(abi, abi) for abi in self.abis})


@dataclass(frozen=True, kw_only=True)
class SeenAccess(Seen):
    """What AppArmor recorded: a file, a capability, a network, … access: its keys (ACCESS_KEYS). denied: whether it was denied. first: day."""

    access: Mapping[str, Any]
    denied: bool
    first: str

    @property
    def key(self) -> str:
        """The text that identifies it."""
        return describe_access(self.access, self.denied)


@dataclass(frozen=True)
class Mount:
    """A mount of a container. type: bind, volume or tmpfs. source: the folder of the host, or the volume's name."""

    destination: str
    type: str
    source: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class Configuration:
    """The settings under which containers ran. Its name is computed from them. command lines are not kept: they may contain passwords.

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
    mounts: tuple[Mount, ...]


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
    """Whether calls or accesses are recorded on a host. status: recording, unavailable or off. reason: why not, one sentence."""

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
class Recorder:
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
    recorders: Mapping[str, Recorder] = field(default_factory=dict)
    configurations: Mapping[str, Configuration] = field(default_factory=dict)
    calls: Mapping[str, SeenCall] = field(default_factory=dict)
    denied_calls: Mapping[str, SeenDeniedCall] = field(default_factory=dict)
    access: Sequence[SeenAccess] = ()
    written: Sequence[str] = ()
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
    def current(self) -> list[Configuration]:
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
    def mounts(self) -> list[Mount]:
        """The mounts of the current containers."""
        found = {mount for configuration in self.current for mount in configuration.mounts}
        return sorted(found, key=lambda mount: (mount.destination, mount.type, mount.source, mount.read_only))

    def list_current_recorders(self) -> list[Recorder]:
        """Return the newest recorder of each host."""
        newest: dict[str, Recorder] = {}
        for recorder in self.recorders.values():
            other = newest.get(recorder.host)
            if other is None or (recorder.since, recorder.id) > (other.since, other.id):
                newest[recorder.host] = recorder
        return [newest[host] for host in sorted(newest)]


def describe_access(access: Mapping[str, Any], denied: bool = False) -> str:
    """Return the text that identifies an access, such as `file mask=r path=/etc/passwd`; two different accesses have different texts."""
    words = [
        key if value is True else f"{key}={_quote(value)}" for key in ACCESS_KEYS[1:] if (value := access.get(key)) not in (None, False, "")
    ]
    return " ".join([*(["denied"] if denied else []), str(access["class"]), *words])


def get_host(key: str) -> str:
    """Return the host of the key of a recorder."""
    return key.rpartition("/")[0]


def sum_per_host(counts: Mapping[str, int]) -> int:
    """Return the sum over the hosts of the highest count of each one's recorders. counts: by key of a recorder.

    The recorders of a host follow each other, and a container may outlive one. So this is the least number of different containers.
    """
    highest: dict[str, int] = {}
    for key, count in counts.items():
        highest[get_host(key)] = max(count, highest.get(get_host(key), 0))
    return sum(highest.values())


def _quote(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if _SIMPLE.fullmatch(text) else json.dumps(text)


def _join(parts: Iterable[Iterable[str]]) -> list[str]:
    return sorted({part for each in parts for part in each})
