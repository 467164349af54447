# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose denial it was. The kernel's messages name a process, and no container; most processes are gone when the message is read.

What counts as evidence, the best first:
* `pid`: the process lives, and began before the message, so that nobody has taken over its number; its cgroup names the container.
* `profile`: the process is gone, and of all containers that ran at that moment one alone had the profile that the message names.
* `alone`: the same, of a container that is gone itself, so that nobody knows its profile, and no other one ran that could have been meant.
Everything else is `unknown`, with the containers that may have been meant.

Which containers ran at a moment is known when the journal reaches back to then and systemd made their scopes (cgroup driver systemd): it logs each
beginning and each end. The engine alone forgets what was removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .denials import Denial
from .messages import Message

CONTAINER, HOST, UNKNOWN = "container", "host", "unknown"
# systemd logs the beginning of a scope shortly after its first process runs, and the kernel's messages reach us a little late.
_SLACK = 2.0
_IN_CGROUP = re.compile(r"(?:docker-|/docker/)([0-9a-f]{64})")
# The profile of whatever asks for none, and none at all: any process may be under the second.
DEFAULT_PROFILE = "docker-default"
UNCONFINED = "unconfined"


@dataclass
class Known:
    """A container that was seen anywhere. name, image, profile: None where nobody knows any more. runs: (begin, end), end None for one that runs;
    begin None for one that began before anybody looked. stopped: when the engine says that it ended; None for one that runs, or is gone.
    """

    id: str
    name: str | None = None
    image: str | None = None
    profile: str | None = None
    runs: list[tuple[float | None, float | None]] = field(default_factory=list)
    stopped: float | None = None

    def ran_at(self, moment: float) -> bool:
        return any((a is None or a - _SLACK <= moment) and (b is None or moment <= b + _SLACK) for a, b in self.runs)

    @property
    def told(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "image": self.image}


@dataclass
class Owners:
    """containers: all that are known of. complete_since: from when on no container is missing among them, None for never.
    process: PID → (when it began, the text of its /proc/PID/cgroup), None for one that is gone.
    """

    containers: list[Known]
    complete_since: float | None
    process: Callable[[int], tuple[float, str] | None]

    def of(self, message: Message, denial: Denial) -> dict[str, Any]:
        """`container` (id, name, image; None where it is not known), `scope`, `by` and `candidates`."""
        pid = message.fields.get("pid", "")
        seen = self.process(int(pid)) if pid.isdigit() else None
        if seen and seen[0] <= message.time:
            match = _IN_CGROUP.search(seen[1])
            if not match:
                return _answer(HOST, "pid")
            return _answer(CONTAINER, "pid", next((c for c in self.containers if c.id == match[1]), Known(match[1])))
        profile = (denial.profile or UNCONFINED).partition("//")[0].partition(" (")[0]
        if profile == UNCONFINED:
            return _answer(UNKNOWN, "")
        there = [c for c in self.containers if c.ran_at(message.time) and c.profile in (profile, None)]
        if self.complete_since is None or message.time < self.complete_since:
            return _answer(UNKNOWN, "", None, there)
        known_of_containers = {DEFAULT_PROFILE, *(c.profile for c in self.containers)}
        if not there:
            return _answer(UNKNOWN if profile in known_of_containers else HOST, "" if profile in known_of_containers else "profile")
        if len(there) == 1 and there[0].profile == profile:
            return _answer(CONTAINER, "profile", there[0])
        if len(there) == 1 and (profile in known_of_containers or profile.startswith("bulkhead")):
            return _answer(CONTAINER, "alone", there[0])
        return _answer(UNKNOWN, "", None, there)


def _answer(scope: str, by: str, container: Known | None = None, candidates: Sequence[Known] = ()) -> dict[str, Any]:
    names = sorted(c.name or c.id[:12] for c in candidates)
    return {"scope": scope, "by": by, "container": container.told if container else None, "candidates": names[:10]}


def lifetimes(existing: Iterable[Known], events: Iterable[Mapping[str, Any]], scopes: Iterable[tuple[str, bool, float]]) -> list[Known]:
    """All containers that anybody knows of. existing: the engine's. events: of the engine, which keeps the last 256 of all kinds
    (moby daemon/events). scopes: what systemd logged of their beginnings and ends, in order.
    """
    known = {container.id: container for container in existing}
    for event in events:
        actor = event.get("Actor") or {}
        if event.get("Type") != "container" or not actor.get("ID"):
            continue
        told = actor.get("Attributes") or {}
        container = known.setdefault(actor["ID"], Known(actor["ID"]))
        container.name, container.image = container.name or told.get("name"), container.image or told.get("image")
        when = event.get("timeNano", 0) / 1e9
        if event.get("Action") == "start":
            container.runs.append((when, None))
        elif event.get("Action") == "die":
            _ended(container, when)
    for identifier, began, when in scopes:
        container = known.setdefault(identifier, Known(identifier))
        if began:
            container.runs.append((when, None))
        else:
            _ended(container, when)
    for container in known.values():
        if container.stopped is not None:  # its end was forgotten; the engine remembers the last one
            container.runs = [(begin, container.stopped if end is None else end) for begin, end in container.runs]
    return list(known.values())


def _ended(container: Known, when: float) -> None:
    """Whatever run has no end yet has this one; one of which nobody saw the beginning had begun before."""
    open_runs = [run for run in container.runs if run[1] is None and run[0] is not None and run[0] <= when]
    container.runs = [run for run in container.runs if run not in open_runs] + [(begin, when) for begin, unused in open_runs]
    if not open_runs and not any(run[1] is not None and abs(run[1] - when) <= _SLACK for run in container.runs):
        container.runs.append((None, when))
