# SPDX-License-Identifier: GPL-3.0-or-later
"""What was recorded on this host: instances, calls, accesses and gaps, merged over daemon restarts and boots. Pure.

The kernel's counters only grow until the next boot, or until the programs are loaded anew. `counted` has the part of them that is merged already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..seccomp.syscalls import X32_BIT, X86_64, load_table
from .instances import NOT_INSPECTED

FORMAT = 1
MISSED = "missed"  # of counts.py, which only a host can use
# Different accesses per instance, and of all instances: about 600 bytes of memory each.
MAX_ACCESSES, MAX_ALL_ACCESSES = 20_000, 100_000
MAX_INSTANCES = 2_000
MAX_IGNORED = 5_000
MAX_GAPS = 500
# Seconds: equal gaps that follow each other within this time become one; of things that are counted, within the longer one.
_GAP_DISTANCE, _COUNTED_DISTANCE = 2.0, 300.0

LOST_CALLS, LOST_MESSAGES, FULL = "lost_calls", "lost_messages", "full"
NOT_ARMED, RESTARTED, START_NOT_SEEN = "not_armed", "restarted", "start_not_seen"
UNCONFINED, UNKNOWN_CGROUP, UNKNOWN_PROFILE = "unconfined", "unknown_cgroup", "unknown_profile"
PROFILE_REPLACED, AUDIT_IMMUTABLE = "profile_replaced", "audit_immutable"
GAP_KINDS = (
    NOT_ARMED, RESTARTED, LOST_CALLS, LOST_MESSAGES, FULL, PROFILE_REPLACED, START_NOT_SEEN, UNCONFINED, UNKNOWN_CGROUP, UNKNOWN_PROFILE,
    AUDIT_IMMUTABLE,
)  # fmt: skip
CALLS, ACCESS, EVENTS = "calls", "access", "events"
_COUNTED = (LOST_CALLS, LOST_MESSAGES, FULL, UNKNOWN_CGROUP)
NO_EVENTS = {"starts": 0, "stops": 0, "execs": 0, "health_checks": 0, "restarts": 0, "oom": 0, "start_seen": False}


@dataclass
class Seen:
    """How often something was seen, and when (seconds since the epoch)."""

    count: int
    first: float
    last: float

    def add(self, count: int, now: float) -> None:
        self.count += count
        self.first, self.last = min(self.first, now), max(self.last, now)

    def as_dict(self) -> dict[str, Any]:
        return {"count": self.count, "first": self.first, "last": self.last}


@dataclass
class RecordedContainer:
    """One container. about: what its inspection shows (`instances.describe_container`). started: its last start, None if unknown.

    calls: (name, abi, argument) -> Seen. denied: (name, abi, errno) -> Seen. access: (JSON of the access, denied) -> Seen. dropped: accesses beyond the limit.
    """

    id: str
    engine: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    running: bool = False
    first: float = 0.0
    last: float = 0.0
    started: float | None = None
    ended: bool = False
    events: dict[str, Any] = field(default_factory=lambda: dict(NO_EVENTS))
    peaks: dict[str, int | None] = field(default_factory=lambda: {"pids": None, "memory": None})
    calls: dict[tuple[str, str, int | None], Seen] = field(default_factory=dict)
    denied: dict[tuple[str, str, int], Seen] = field(default_factory=dict)
    access: dict[tuple[str, bool], Seen] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    def touch(self, now: float) -> None:
        self.first, self.last = self.first or now, max(self.last, now)

    def raise_peaks(self, peaks: Mapping[str, int | None]) -> None:
        """Keep the higher one of each peak."""
        for key, value in peaks.items():
            if value is not None:
                self.peaks[key] = max(self.peaks[key] or 0, value)

    def as_dict(self) -> dict[str, Any]:
        return {
            **NOT_INSPECTED,
            **self.about,
            "id": self.id,
            "engine": self.engine,
            "running": self.running,
            "first": self.first,
            "last": self.last,
            "events": self.events,
            "peaks": self.peaks,
            "calls": [
                {"name": name, "abi": abi, "argument": argument, **seen.as_dict()} for (name, abi, argument), seen in _sort(self.calls)
            ],
            "denied_calls": [
                {"name": name, "abi": abi, "errno": errno, **seen.as_dict()} for (name, abi, errno), seen in _sort(self.denied)
            ],
            "access": [{**json.loads(text), "denied": denied, **seen.as_dict()} for (text, denied), seen in _sort(self.access)],
            "written": self.written,
        }


def _sort(counted: Mapping[Any, Seen]) -> list[tuple[Any, Seen]]:
    return sorted(counted.items(), key=lambda item: tuple(str(part) for part in item[0]))


@dataclass
class RecorderStore:
    """All that is recorded. recorder: `id`, `since`, `at`, `boot_id`, `version`. maps: which kernel maps `counted` and `lost` are of.

    clean: whether the daemon saved everything before it ended. engines: user of the engine -> time of the last event.
    ignored: IDs of containers that are probes of Bulkhead. profiles: AppArmor profiles that are recorded, in this boot.
    """

    recorder: dict[str, Any]
    host: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    instances: dict[str, RecordedContainer] = field(default_factory=dict)
    maps: str = ""
    counted: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    engines: dict[str, float] = field(default_factory=dict)
    ignored: dict[str, None] = field(default_factory=dict)
    profiles: list[str] = field(default_factory=list)
    clean: bool = False
    accesses: int = 0

    def ignore(self, identifier: str) -> None:
        """Record nothing of a container, and forget the one that was ignored first of too many."""
        self.ignored[identifier] = None
        if len(self.ignored) > MAX_IGNORED:
            del self.ignored[next(iter(self.ignored))]

    def find_or_add(self, identifier: str, now: float) -> RecordedContainer:
        """Return an instance, a new one if it is not known. The instance that ended first makes room for it, with a gap."""
        known = self.instances.get(identifier)
        if known is None:
            if len(self.instances) >= MAX_INSTANCES:
                self._drop_oldest(now)
            known = self.instances[identifier] = RecordedContainer(identifier, about={"name": identifier[:12]}, first=now, last=now)
        return known

    def _drop_oldest(self, now: float) -> None:
        ended = [instance for instance in self.instances.values() if not instance.running]
        oldest = min(ended or self.instances.values(), key=lambda instance: instance.last)
        del self.instances[oldest.id]
        self.accesses -= len(oldest.access)
        text = f"more than {MAX_INSTANCES} containers were recorded, and the oldest ones were dropped"
        self.add_gap(FULL, EVENTS, text, now, now, lost=1)

    def start_maps(self, maps: str) -> None:
        """Forget what was counted if the kernel's counters are new ones."""
        if maps != self.maps:
            self.maps, self.counted, self.lost = maps, {}, {}

    def merge_counts(self, counts: Any, find_owner: Callable[[int], str | None], machine: str, now: float) -> None:
        """Add what the kernel has counted since the last time. find_owner: cgroup ID -> ID of the container, None for all others."""
        counted: dict[str, int] = {}
        made = [(call, call.argument, "") for call in counts.calls]
        for call, detail, sign in [*made, *((call, call.errno, "-") for call in counts.denied)]:
            owner = find_owner(call.cgroup)
            if owner and (added := self._count_new(f"{call.cgroup} {call.abi} {call.number} {sign}{detail}", call.count, counted)):
                instance = self.find_or_add(owner, now)
                key = (name_call(machine, call.abi, call.number), call.abi, detail)
                seen: dict[Any, Seen] = instance.denied if sign else instance.calls
                seen.setdefault(key, Seen(0, now, now)).add(added, now)
                instance.touch(now)
        self.counted = counted
        for name, lost in counts.lost.items():
            added = lost - self.lost.get(name, 0)
            if added > 0:
                text = f"the kernel left out {added} runs of the recorder's programs, so calls can be missing"
                if name != MISSED:
                    text = f"the kernel's map {name} was full {added} times, so calls can be missing; record fewer containers per host"
                self.add_gap(LOST_CALLS, CALLS, text, self.recorder["at"], now, lost=added)
        self.lost = dict(counts.lost)

    def _count_new(self, key: str, count: int, counted: dict[str, int]) -> int:
        """Return how much was added to a counter. A counter that is smaller than before began anew."""
        before = self.counted.get(key, 0)
        counted[key] = count
        return count - before if count >= before else count

    def add_access(self, identifier: str, text: str, denied: bool, count: int, now: float) -> None:
        """Count an access (text: as sorted JSON) of an instance. Beyond the limits it is a gap."""
        instance = self.find_or_add(identifier, now)
        seen = instance.access.get((text, denied))
        if seen is None:
            if len(instance.access) >= MAX_ACCESSES or self.accesses >= MAX_ALL_ACCESSES:
                limit = f"{MAX_ACCESSES} per container" if len(instance.access) >= MAX_ACCESSES else f"{MAX_ALL_ACCESSES} per host"
                message = (
                    f"{instance.about.get('name', identifier[:12])}: more different accesses than {limit}; the others are not recorded"
                )
                self.add_gap(FULL, ACCESS, message, now, now, instance=identifier, lost=count)
                return
            seen = instance.access[text, denied] = Seen(0, now, now)
            self.accesses += 1
        seen.add(count, now)
        instance.touch(now)

    def add_gap(
        self,
        kind: str,
        source: str,
        text: str,
        begin: float | None = None,
        end: float | None = None,
        instance: str | None = None,
        profile: str | None = None,
        lost: int | None = None,
    ) -> None:
        """Add a gap, or extend an equal one. Beyond the maximum number, the newest gap of the kind is extended."""
        same = [g for g in self.gaps if (g["kind"], g["source"], g["instance"], g["profile"]) == (kind, source, instance, profile)]
        distance = _COUNTED_DISTANCE if kind in _COUNTED else _GAP_DISTANCE
        near = [g for g in same if g["to"] is None or begin is None or begin - g["to"] <= distance]
        if not near and len(self.gaps) >= MAX_GAPS:
            near = [g for g in self.gaps if (g["kind"], g["source"]) == (kind, source)] or self.gaps
        if not near:
            self.gaps.append(
                {
                    "kind": kind,
                    "source": source,
                    "from": begin,
                    "to": end,
                    "instance": instance,
                    "profile": profile,
                    "lost": lost,
                    "text": text,
                }
            )
            return
        gap = near[-1]
        gap["to"] = None if end is None or gap["to"] is None else max(gap["to"], end)
        if lost is not None:
            gap["lost"] = (gap["lost"] or 0) + lost

    def note_start(self, identifier: str, moment: float) -> None:
        """Remove gaps of the start of an instance, because it started again: accesses only if its profile was recorded by then."""
        self.gaps = [
            gap
            for gap in self.gaps
            if (gap["kind"], gap["instance"]) != (START_NOT_SEEN, identifier) or (gap["source"] == ACCESS and gap["to"] > moment)
        ]

    def build_recorded(self) -> dict[str, Any]:
        """Return what the module returns as `recorded`."""
        return {
            "format": FORMAT,
            "recorder": self.recorder,
            "host": self.host,
            "sources": self.sources,
            "gaps": self.gaps,
            "instances": [instance.as_dict() for instance in sorted(self.instances.values(), key=lambda i: (i.first, i.id))],
        }

    def render(self) -> str:
        """Return the text of recorded.json: what the module returns, and under `state` what the next daemon needs."""
        state = {
            "maps": self.maps,
            "counted": self.counted,
            "lost": self.lost,
            "engines": self.engines,
            "ignored": list(self.ignored),
            "profiles": self.profiles,
            "clean": self.clean,
            "instances": {i.id: {"started": i.started, "ended": i.ended} for i in self.instances.values()},
        }
        return json.dumps({**self.build_recorded(), "state": state}, separators=(",", ":"))


def load_store(text: str) -> RecorderStore:
    """Return the store of a recorded.json. Raises ValueError, KeyError or TypeError if it is damaged."""
    data = json.loads(text)
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']} is unknown")
    state = data["state"]
    store = RecorderStore(data["recorder"], data["host"], data["sources"], data["gaps"], {}, state["maps"], state["counted"], state["lost"])
    store.engines, store.clean, store.profiles = state["engines"], state["clean"], state["profiles"]
    store.ignored = dict.fromkeys(state["ignored"])
    for entry in data["instances"]:
        instance = _load_instance(dict(entry), state["instances"].get(entry["id"], {}))
        store.instances[instance.id] = instance
        store.accesses += len(instance.access)
    return store


def _load_instance(entry: dict[str, Any], state: Mapping[str, Any]) -> RecordedContainer:
    calls, denied, access = entry.pop("calls"), entry.pop("denied_calls"), entry.pop("access")
    known = {key: entry.pop(key) for key in ("id", "engine", "running", "first", "last", "events", "peaks", "written")}
    instance = RecordedContainer(**known, about=entry, started=state.get("started"), ended=state.get("ended", False))
    instance.calls = {(c["name"], c["abi"], c["argument"]): _take_seen(c) for c in calls}
    instance.denied = {(c["name"], c["abi"], c["errno"]): _take_seen(c) for c in denied}
    for item in access:
        seen, is_denied = _take_seen(item), item.pop("denied")
        instance.access[encode_access(item), is_denied] = seen
    return instance


def _take_seen(entry: dict[str, Any]) -> Seen:
    return Seen(entry.pop("count"), entry.pop("first"), entry.pop("last"))


def encode_access(access: Mapping[str, Any]) -> str:
    """Return an access as a text that is the same for equal ones."""
    return json.dumps(access, sort_keys=True, separators=(",", ":"))


_names: dict[str, dict[int, str]] = {}


def name_call(machine: str, abi: str, number: int) -> str:
    """Return the name of a call; its number as text if no table has it. x32 has the numbers of x86-64 and own ones from 512 on."""
    table = X86_64 if abi == "x32" else abi
    number = number & ~X32_BIT if abi == "x32" else number
    if table not in _names:
        try:
            _names[table] = {value: name for name, value in load_table(table).items()}
        except KeyError:
            _names[table] = {}
    if not _names[table] and number >= 424:  # all architectures have these numbers in common (seccomp/syscalls.py)
        return name_call(machine, machine, number)
    return _names[table].get(number, str(number))
