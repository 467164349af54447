# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen: system calls and accesses, and which recorder saw each one how often. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.seccomp.syscalls import AARCH64, X86_64

# ABI of a call -> machine, as `uname -m` names it.
MACHINES = {X86_64: X86_64, "i386": X86_64, "x32": X86_64, AARCH64: AARCH64, "arm": AARCH64}
# The keys of an access, in the order in which it is described. `class` is the first one.
ACCESS_KEYS = (
    "class", "operation", "name", "family", "type", "direction", "signal", "mask", "owner", "fstype", "flags", "source", "address", "detail",
    "peer", "path", "target",
)  # fmt: skip
_SIMPLE = re.compile(r'[^\s="]+')


@dataclass(frozen=True)
class Sighting:
    """How often one recorder saw one call or access. instances: containers. by: the container's short ID if it was only one. last: day."""

    count: int
    instances: int
    last: str
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class SeenItem:
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
class SeenCall(SeenItem):
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
class SeenDeniedCall(SeenItem):
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
class SeenAccess(SeenItem):
    """What AppArmor recorded: a file, a capability, a network, … access: its keys (ACCESS_KEYS). denied: whether it was denied. first: day."""

    access: Mapping[str, Any]
    denied: bool
    first: str

    @property
    def key(self) -> str:
        """The text that identifies it."""
        return describe_access(self.access, self.denied)


def describe_access(access: Mapping[str, Any], denied: bool = False) -> str:
    """Return the text that identifies an access, such as `file mask=r path=/etc/passwd`; two different accesses have different texts."""
    words = [
        key if value is True else f"{key}={_quote(value)}" for key in ACCESS_KEYS[1:] if (value := access.get(key)) not in (None, False, "")
    ]
    return " ".join([*(["denied"] if denied else []), str(access["class"]), *words])


def sort_accesses(accesses: Iterable[SeenAccess]) -> tuple[SeenAccess, ...]:
    """Return accesses in the order of a file: by class and path."""
    return tuple(sorted(accesses, key=lambda seen: (str(seen.access["class"]), str(seen.access.get("path") or ""), seen.key)))


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
