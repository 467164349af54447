# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes denials to containers. The kernel's messages name a process and no container, and most processes have ended when a message is read.

Evidence, the best first:
* `pid`: the process exists and began before the message, so its PID was not reused. Its cgroup names the container by its ID, below any parent.
* `profile`: the process has ended, or the message is about another one. Only one container that ran at that moment had the profile in the message.
* `alone`: the container has ended too, so its profile is unknown. No other candidate ran at that moment.
Everything else is `unknown`, with the candidates.

The containers that ran at a moment are known if the journal reaches back to it and systemd created their scopes (cgroup driver systemd): it logs the
start and the end of each scope. The engine alone forgets removed containers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..host.cgroup import find_container_group
from .denials import LoggedDenial
from .messages import Message, is_about_target

CONTAINER, HOST, UNKNOWN = "container", "host", "unknown"
# Seconds. systemd logs the start of a scope shortly after its first process runs, and the kernel's messages arrive a little late.
_SLACK = 2.0
# The profile of a container that requests none. Any process may be unconfined.
DEFAULT_PROFILE = "docker-default"
UNCONFINED = "unconfined"


@dataclass
class KnownContainer:
    """A container that the engine, the kernel or the journal mentions. name, image, profile: None if unknown.

    runs: (begin, end); begin is None for a run that began before the first record, end is None for a run in progress. stopped: when it ended, as reported
    by the engine; None for a running or removed container.
    """

    id: str
    name: str | None = None
    image: str | None = None
    profile: str | None = None
    runs: list[tuple[float | None, float | None]] = field(default_factory=list)
    stopped: float | None = None

    def has_run_at(self, moment: float) -> bool:
        return any((begin is None or begin - _SLACK <= moment) and (end is None or moment <= end + _SLACK) for begin, end in self.runs)

    @property
    def identity(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "image": self.image}


@dataclass
class ContainerIndex:
    """The containers to which a denial can belong. complete_since: the moment from which no container is missing; None for never.

    process: PID -> (start time, text of its /proc/PID/cgroup); None for a process that has ended.
    """

    containers: list[KnownContainer]
    complete_since: float | None
    process: Callable[[int], tuple[float, str] | None]

    def list_starts(self) -> dict[str, float | None]:
        """Return ID -> when its present run began, of running containers; None if that is not known."""
        return {each.id: begin for each in self.containers for begin, end in each.runs if end is None}

    def attribute(self, message: Message, denial: LoggedDenial) -> dict[str, Any]:
        """Return `container` (id, name, image; None if unknown), `scope`, `by` and `candidates`."""
        pid = message.fields.get("pid", "")
        seen = self.process(int(pid)) if pid.isdigit() and not is_about_target(message.fields) else None
        if seen and seen[0] <= message.time:
            group = find_container_group(seen[1])
            known = next((c for c in self.containers if group and c.id == group[0]), None)
            if known is None and group and group[1] == "docker":
                known = KnownContainer(group[0])
            return _build_attribution(CONTAINER if known else HOST, "pid", known)
        profile = (denial.profile or UNCONFINED).partition("//")[0].partition(" (")[0]
        if profile == UNCONFINED:
            return _build_attribution(UNKNOWN, "")
        running = [c for c in self.containers if c.has_run_at(message.time) and c.profile in (profile, None)]
        if self.complete_since is None or message.time < self.complete_since:
            return _build_attribution(UNKNOWN, "", None, running)
        container_profiles = {DEFAULT_PROFILE, *(c.profile for c in self.containers)}
        if not running:
            return _build_attribution(
                UNKNOWN if profile in container_profiles else HOST, "" if profile in container_profiles else "profile"
            )
        if len(running) == 1 and running[0].profile == profile:
            return _build_attribution(CONTAINER, "profile", running[0])
        if len(running) == 1 and (profile in container_profiles or profile.startswith("bulkhead")):
            return _build_attribution(CONTAINER, "alone", running[0])
        return _build_attribution(UNKNOWN, "", None, running)


def _build_attribution(
    scope: str, by: str, container: KnownContainer | None = None, candidates: Sequence[KnownContainer] = ()
) -> dict[str, Any]:
    names = sorted(c.name or c.id[:12] for c in candidates)
    return {"scope": scope, "by": by, "container": container.identity if container else None, "candidates": names[:10]}


def merge_lifetimes(
    existing: Iterable[KnownContainer], events: Iterable[Mapping[str, Any]], scopes: Iterable[tuple[str, bool, float]]
) -> list[KnownContainer]:
    """Return all known containers. existing: those of the engine. events: of the engine, which keeps the last 256 of all kinds (moby daemon/events).

    scopes: starts and ends of scopes that systemd logged, in order.
    """
    known = {container.id: container for container in existing}
    for event in events:
        actor = event.get("Actor") or {}
        if event.get("Type") != "container" or not actor.get("ID"):
            continue
        attributes = actor.get("Attributes") or {}
        container = known.setdefault(actor["ID"], KnownContainer(actor["ID"]))
        container.name, container.image = container.name or attributes.get("name"), container.image or attributes.get("image")
        when = event.get("timeNano", 0) / 1e9
        if event.get("Action") == "start":
            container.runs.append((when, None))
        elif event.get("Action") == "die":
            _end_runs(container, when)
    for identifier, began, when in scopes:
        container = known.setdefault(identifier, KnownContainer(identifier))
        if began:
            container.runs.append((when, None))
        else:
            _end_runs(container, when)
    for container in known.values():
        if container.stopped is not None:  # no record of its end; the engine reports the last one
            container.runs = [(begin, container.stopped if end is None else end) for begin, end in container.runs]
    return list(known.values())


def _end_runs(container: KnownContainer, when: float) -> None:
    """Set the end of open runs. Without an open run, add one with an unknown beginning."""
    open_runs = [run for run in container.runs if run[1] is None and run[0] is not None and run[0] <= when]
    container.runs = [run for run in container.runs if run not in open_runs] + [(begin, when) for begin, unused in open_runs]
    if not open_runs and not any(run[1] is not None and abs(run[1] - when) <= _SLACK for run in container.runs):
        container.runs.append((None, when))
