# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows one engine: its events, and the inspection of containers when they start and when the recorder starts."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.cgroups import select_own_groups
from ..engine.inspection import get_first_pid
from ..engine.instance import Instance
from ..engine.records import read_records
from ..engine.timestamps import parse_timestamp
from ..host.cgroup import find_pids_folder
from ..host.process_status import parse_status
from ..host.root import Host
from . import instances
from .attribution import Attribution
from .events import Event, EventStream, apply_event, find_users_engine
from .profiles import read_seccomp_names
from .store import ACCESS, CALLS, START_NOT_SEEN, UNCONFINED, RecordedContainer, RecorderStore
from .writable_layer import find_writable_layer, list_written

PATIENCE = 5.0  # seconds for one answer; meanwhile nothing else is read
CHANGES_PATIENCE = 10.0
# Seconds until the next try to connect; longer after each failure, because an engine that hangs takes time, unlike one without a listener.
_RETRY, _MAX_RETRY = 2.0, 30.0
_NO_LISTENER = (FileNotFoundError, ConnectionRefusedError)
# Seconds for the events of before the connection: the engine sends them at once, so the last one was read when nothing has come for a while.
_REPLAY, _QUIET = 3.0, 0.5
_DELETED = 2  # of `GET /containers/ID/changes` (moby api/swagger.yaml: ChangeType)
# Seconds between the start that the engine reports and its event.
_SLACK = 5.0


class FollowedEngine:
    """One engine. on_start: called with an instance whose process is known, to record its profile. stream: None while it is not connected."""

    def __init__(
        self,
        host: Host,
        engine: Instance,
        path: str | None,
        store: RecorderStore,
        attribution: Attribution,
        on_start: Callable[[RecordedContainer], None],
    ) -> None:
        self.host, self.engine, self.store, self.attribution, self.on_start = host, engine, store, attribution, on_start
        self.socket, self.uid = find_users_engine(path, engine)
        self.stream: EventStream | None = None
        self.info: dict[str, Any] = {}
        self.folders: dict[str, str] = {}
        self.layers: dict[str, str] = {}
        self.started_at = time.time()
        self._health: dict[str, list[str]] = {}
        self._next_try, self._delay = 0.0, _RETRY
        self._api = Engine(self.socket, PATIENCE, self.uid)

    def connect(self, now: float) -> bool:
        """Connect if the engine is not connected, and read its running containers. Returns whether it was connected by this call."""
        if self.stream or now < self._next_try:
            return False
        self._next_try = now + self._delay
        since = self.store.engines.setdefault(self.engine.user, self.started_at)
        try:
            self.stream = EventStream(self.socket, since, self.uid)
            self.info = self._api.get("/info")
            self.scan(now)
        except (OSError, EngineError, KeyError, TypeError, AttributeError) as error:
            self.disconnect()
            self._delay = _RETRY if isinstance(error, _NO_LISTENER) else min(2 * self._delay, _MAX_RETRY)
            return False
        self._delay = _RETRY
        return True

    def disconnect(self) -> None:
        if self.stream:
            self.stream.close()
            self.stream = None
        self._api.close()

    def catch_up(self, now: float) -> None:
        """Count all events until now, also of an engine that did not answer at the last try, such as one that was starting."""
        self._next_try = now
        if self.connect(now):
            deadline = time.monotonic() + _REPLAY
            while self.stream and time.monotonic() < deadline and select.select([self.stream], [], [], _QUIET)[0]:
                self.read_events()
        self.read_events()

    def read_events(self) -> None:
        """Count the events that have arrived. A connection that has ended is closed, and `connect` opens the next one."""
        if self.stream is None:
            return
        try:
            events = self.stream.read()
        except OSError:
            self.disconnect()
            return
        for event in events:
            self.handle(event)
            self.store.engines[self.engine.user] = max(event.time, self.store.engines.get(self.engine.user, 0.0))

    def handle(self, event: Event) -> None:
        """Count one event, and inspect the container at its start."""
        if event.action == "create" and self._is_temporary(event.attributes):
            self.store.ignore(event.id)
        if event.id in self.store.ignored:
            return
        instance = self.store.find_or_add(event.id, event.time)
        instance.engine = self.engine.user
        if "image" not in instance.about:
            instance.about = instances.describe_event(event.attributes)
        if event.action in ("stop", "kill", "die"):
            self.read_peaks(instance)
        apply_event(instance, event, self._health.get(event.id, []))
        if event.action == "start":
            self.store.note_start(event.id, event.time)
            with suppress(EngineError, EngineUnreachable):
                self._inspect(instance, event.time)
            if instance.running and "apparmor" in instance.about:
                self.on_start(instance)
        elif event.action == "die":
            self.attribution.forget(event.id)
            self.read_changes(instance, PATIENCE)
            self.folders.pop(event.id, None)
            self.layers.pop(event.id, None)
        elif event.action == "destroy":
            self._health.pop(event.id, None)

    def scan(self, now: float) -> None:
        """Inspect the running containers. Raises EngineError and EngineUnreachable."""
        running = set()
        for entry in self._api.get("/containers/json"):
            identifier = str(entry["Id"])
            if self._is_temporary({"name": str((entry.get("Names") or [""])[0]).lstrip("/")}):
                self.store.ignore(identifier)
                continue
            running.add(identifier)
            instance = self.store.find_or_add(identifier, now)
            instance.engine = self.engine.user
            inspect = self._inspect(instance, now)
            begun = parse_timestamp(str(((inspect or {}).get("State") or {}).get("StartedAt") or ""))
            if inspect and (instance.started is None or (begun or 0) - instance.started > _SLACK):
                instance.started = begun or now
                text = f"{instance.about['name']} was running before it was recorded, so its start is missing; restart it when that is possible"
                self.store.add_gap(START_NOT_SEEN, CALLS, text, begun, now, instance=identifier)
            if instance.running:
                self.on_start(instance)
        for instance in self.store.instances.values():
            if instance.engine == self.engine.user and instance.running and instance.id not in running:
                instance.running, instance.ended = False, True

    def _inspect(self, instance: RecordedContainer, now: float) -> dict[str, Any] | None:
        """Describe an instance by its inspection and the kernel's files; None when it has been removed. Raises EngineError and EngineUnreachable."""
        try:
            inspect: dict[str, Any] = self._api.get_within(PATIENCE, f"/containers/{instance.id}/json")
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        kernel = self._read_kernel(instance.id, get_first_pid(inspect))
        profiles = read_seccomp_names(self.host)
        instance.about = instances.describe_container(inspect, self.info, kernel, profiles, self.engine.rootless)
        self._health[instance.id] = instances.list_health_commands(inspect)
        instance.running = bool(get_first_pid(inspect))
        instance.events["start_seen"] |= (parse_timestamp(str(inspect.get("Created") or "")) or 0) >= self.store.recorder["since"]
        instance.touch(now)
        if instance.running:
            self._note_unconfined(instance, now)
        return inspect

    def _read_kernel(self, identifier: str, pid: int) -> dict[str, Any]:
        """Return `label` and `seccomp` of the first process, and note its control group; empty when it has ended."""
        try:
            groups = select_own_groups(self.host.read(f"/proc/{pid}/cgroup") or "", identifier) if pid else ""
            if not groups:
                return {}
            folder = find_pids_folder(groups)
            if folder:
                self.folders[identifier] = folder
                self.attribution.learn_folder(folder, identifier)
            with suppress(OSError):
                self.layers[identifier] = find_writable_layer(self.host.read(f"/proc/{pid}/mountinfo") or "")
            found = {"seccomp": parse_status(self.host.read(f"/proc/{pid}/status") or "").get("seccomp")}
            with suppress(OSError):  # without an LSM that labels processes
                found["label"] = (self.host.read(f"/proc/{pid}/attr/current") or "").strip("\0\n") or None
            return found
        except (OSError, ValueError):
            return {}

    def _note_unconfined(self, instance: RecordedContainer, now: float) -> None:
        name = instance.about["name"]
        if instance.about["seccomp"] == instances.UNCONFINED:
            text = f"{name} runs without a seccomp filter, so its calls are not recorded; start it with a profile, such as the engine's default"
            self.store.add_gap(UNCONFINED, CALLS, text, now, None, instance=instance.id)
        if instance.about["apparmor"] == instances.UNCONFINED:
            text = f"{name} runs without an AppArmor profile, so its accesses are not recorded; start it with a profile"
            self.store.add_gap(UNCONFINED, ACCESS, text, now, None, instance=instance.id)

    def read_peaks(self, instance: RecordedContainer) -> None:
        if folder := self.folders.get(instance.id):
            instance.raise_peaks(instances.read_peaks(self.host, folder))

    def read_changes(self, instance: RecordedContainer, patience: float = CHANGES_PATIENCE) -> bool:
        """Note what the container has written to its own layer. Returns False if the engine did not answer in time."""
        try:
            if layer := self.layers.get(instance.id):
                paths = list_written(self.host.path(layer))
            else:
                answer = self._api.get_within(patience, f"/containers/{instance.id}/changes") or ()
                paths = [str(change["Path"]) for change in answer if change.get("Kind") != _DELETED]
        except EngineUnreachable:
            return False
        except (EngineError, OSError):  # it was removed
            return True
        instance.written = instances.reduce_paths(paths, instance.about.get("mounts") or (), instance.written)
        return True

    def describe_engine(self) -> dict[str, str]:
        """Return the versions of engine and runtime. Raises EngineError and EngineUnreachable."""
        version = self._api.get("/version")
        components = {str(c.get("Name")): str(c.get("Version")) for c in version.get("Components") or ()}
        runtime = str(self.info.get("DefaultRuntime") or "runc")
        known = components.get(runtime)
        return {"engine": str(version.get("Version") or ""), "runtime": f"{runtime} {known}" if known else runtime}

    def _is_temporary(self, attributes: Mapping[str, Any]) -> bool:
        """Return whether a container is a probe of a run of Bulkhead."""
        name = str(attributes.get("name") or "")
        return any(name in record.containers for record in read_records(self.host))
