# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder: arms the kernel, follows engines and audit messages, and saves what it has seen."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..audit.status import request_status
from ..engine.api import EngineError, EngineUnreachable
from ..engine.cgroups import list_container_ids
from ..engine.instance import ROOTFUL, find_instance
from ..host.files import write_atomically
from ..host.root import RECORDED, RECORDED_LIMIT, Host
from ..host.system import observe_system, read_boot_time
from ..host.versions import read_libseccomp_version, read_parser_version
from .attribution import EVENT_SECONDS, Attribution, list_groups
from .audit_stream import AuditStream, MessageParser
from .backlog import raise_backlog_limit
from .engines import FollowedEngine
from .folders import read_boot_id
from .kernel_functions import DAMAGED, KernelFunctions
from .pins import RecorderError
from .recorded_profiles import PROFILE_INTERVAL, RecordedProfiles
from .store import (
    ACCESS,
    AUDIT_IMMUTABLE,
    CALLS,
    EVENTS,
    LOST_MESSAGES,
    NOT_ARMED,
    RESTARTED,
    UNKNOWN_CGROUP,
    RecordedContainer,
    RecorderStore,
    load_store,
)

FORGET_AFTER = 120.0
COUNT_INTERVAL, PENDING_INTERVAL = 30.0, 2.0
# A save takes at most this part of the time.
_SAVE_SHARE = 0.02
MESSAGES_AT_ONCE = 2_000
# The kernel's message of a profile that was loaded or replaced (Linux security/apparmor/policy.c, audit_policy).
PROFILE_LOADED = 'apparmor="STATUS" operation="profile_'
_RECORDING, _UNAVAILABLE, _OFF = "recording", "unavailable", "off"


class Recorder:
    """All that is recorded on this host. settings: `calls`, `access`, `users`, `socket`, `version`."""

    def __init__(self, host: Host, settings: Mapping[str, Any], functions: KernelFunctions) -> None:
        self.host, self.settings, self.functions = host, settings, functions
        self.boot = read_boot_id(host)
        self.store = open_store(host, time.time(), self.boot, str(settings["version"]))
        self.audit: AuditStream | None = None
        self.profiles = RecordedProfiles(host, functions, self.store)
        self.machine = observe_system(host)["machine"]
        users = [find_instance(host, user) for user in settings["users"]]
        self.attribution = Attribution(
            host,
            self._find_cgroup if settings["calls"] else None,
            self._is_recorded,
            self._list_confined,
            tuple(user.manager_cgroup for user in users),
        )
        self.engines = [
            FollowedEngine(host, engine, settings.get("socket"), self.store, self.attribution, self._record_profile)
            for engine in (ROOTFUL, *users)
        ]
        self._parser = MessageParser(functions.parse_access)
        self._due = {"counts": 0.0, "profiles": 0.0, "pending": 0.0}
        self._lost_before = 0
        self._overruns = 0
        self._described = False
        self._ended: dict[int, float] = {}
        self._saved: set[int] = set()
        self._is_behind = False

    def _record_profile(self, instance: RecordedContainer) -> None:
        if self.audit is not None:
            self.profiles.record(instance)

    def _is_recorded(self, identifier: str) -> bool | None:
        if identifier in self.store.ignored:
            return False
        return True if identifier in self.store.instances else None

    def _list_confined(self, profile: str) -> list[str]:
        """Return the containers that have a profile, or have not been inspected, and run or ran a moment ago."""
        since = time.time() - EVENT_SECONDS
        known = self.store.instances.values()
        return [i.id for i in known if i.about.get("apparmor", profile) == profile and (i.running or i.last >= since)]

    # --- start and end ------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Arm the kernel, and note what may be missing since the last time."""
        store, last = self.store, self.store.recorder["at"]
        is_new_boot = store.recorder["boot_id"] != self.boot
        running = [identifier for engine in self.engines for identifier in list_container_ids(self.host, engine.engine)]
        was_armed = self.settings["calls"] and self.functions.is_armed()
        if is_new_boot:
            self._note_boot(last, now, bool(running))
        elif last is not None:
            source = ACCESS if self.settings["access"] else EVENTS
            store.add_gap(RESTARTED, source, "the recorder did not run, so accesses and events can be missing", last, now)
            if self.settings["calls"] and not was_armed:
                store.add_gap(NOT_ARMED, CALLS, "calls were not recorded, because the kernel's programs were not loaded", last, now)
        store.sources = {CALLS: self._arm(), ACCESS: self._open_audit(now)}
        store.recorder.update(boot_id=self.boot, version=self.settings["version"], at=now)
        store.clean = False
        if self.audit is not None:
            self.profiles.record_expected(now)
        self.save()

    def _note_boot(self, last: float | None, now: float, is_running: bool) -> None:
        store = self.store
        store.engines.clear()  # all events of this boot are new, also if the clock is behind that of the last one
        self.profiles.expect_again()
        for instance in store.instances.values():
            if instance.running:
                instance.running, instance.ended = False, True
        if last is None:
            return
        try:
            boot = read_boot_time(self.host)
        except ValueError:
            boot = now
        if not store.clean:
            text = "the host stopped without notice, so what was recorded after the last save is missing"
            store.add_gap(RESTARTED, CALLS, text, last, boot)
        if is_running:
            text = "containers ran after the boot before the recorder was armed, so their calls and accesses until then are missing"
            store.add_gap(NOT_ARMED, CALLS, text, boot, now)

    def _arm(self) -> dict[str, str]:
        if not self.settings["calls"]:
            return {"status": _OFF, "reason": ""}
        try:
            self.functions.arm()
        except (RecorderError, OSError) as error:
            return {"status": _UNAVAILABLE, "reason": str(error)}
        self.store.start_maps(f"{self.boot} {self.functions.identify_maps(self.host)}")
        return {"status": _RECORDING, "reason": ""}

    def _open_audit(self, now: float) -> dict[str, str]:
        if not self.settings["access"]:
            return {"status": _OFF, "reason": ""}
        if not observe_system(self.host)["apparmor"]:
            return {"status": _UNAVAILABLE, "reason": "the kernel does not enforce AppArmor; boot it with apparmor=1 security=apparmor"}
        try:
            self.audit = AuditStream()
            if problem := raise_backlog_limit(self.host, self.boot):
                self.store.add_gap(AUDIT_IMMUTABLE, ACCESS, problem, now, None)
            self._lost_before = request_status()["lost"]
        except OSError as error:
            return {"status": _UNAVAILABLE, "reason": f"the kernel's audit messages cannot be read: {error.strerror or error}"}
        return {"status": _RECORDING, "reason": ""}

    def finish(self, now: float) -> None:
        """Save everything before the end."""
        self.collect_counts(now)
        self.store.clean = True
        self.save()

    # --- what happens meanwhile ---------------------------------------------------------------------------------------

    def run_timers(self, now: float) -> float:
        """Do what is due, and return after how many seconds something is due again."""
        for engine in self.engines:
            if engine.connect(now) and not self._described:
                self._describe_host()
            self.read_audit(now)
        due = self._due
        if now >= due["profiles"]:
            due["profiles"] = now + PROFILE_INTERVAL
            if self.audit is not None:
                self.profiles.check(now)
        if now >= due["counts"] or (self.attribution.has_pending() and now >= due["pending"]):
            due["pending"] = now + PENDING_INTERVAL
            self.collect_counts(now)
        if now >= due["counts"]:
            due["counts"] = now + max(COUNT_INTERVAL, self.save() / _SAVE_SHARE)
        # A clock that was set back must not stop the timers.
        for name, moment in due.items():
            due[name] = min(moment, now + 600)
        wait = min(due["profiles"], due["counts"], due["pending"] if self.attribution.has_pending() else due["counts"]) - now
        return max(0.0, min(wait, 2.0 if any(engine.stream is None for engine in self.engines) else wait))

    def read_audit(self, now: float) -> None:
        """Count the accesses in the messages that have arrived; at most some, so that others are read too."""
        if self.audit is None:
            return
        messages = self.audit.read(MESSAGES_AT_ONCE)
        self._is_behind = len(messages) >= MESSAGES_AT_ONCE
        for message in messages:
            parsed = self._parser.parse(message, now)
            if parsed is None:
                continue
            self.profiles.has_capabilities |= '"capability"' in parsed.text
            pid = parsed.pid
            if not pid:
                self.attribution.attribute_later(parsed.profile, parsed.text, parsed.denied)
            elif container := self.attribution.attribute(pid, parsed.text, parsed.denied):
                self.store.add_access(container, parsed.text, parsed.denied, 1, now)
        if any(PROFILE_LOADED in text for unused, text in messages):
            self.profiles.record_expected(now)
            self.profiles.record_replaced(now)

    def collect_counts(self, now: float) -> None:
        """Add what the kernel has counted since the last time, and what was lost."""
        if self.store.sources[CALLS]["status"] == _RECORDING:
            self._read_counts(now)
        for container, text, denied, count in self.attribution.take_resolved():
            self.store.add_access(container, text, denied, count, now)
        if unknown := self.attribution.take_unknown():
            text = "accesses are missing, because their container is unknown"
            self.store.add_gap(UNKNOWN_CGROUP, ACCESS, text, self.store.recorder["at"], now, lost=unknown)
        self._note_lost_messages(now)
        for engine in self.engines:
            for identifier in list(engine.folders):
                if instance := self.store.instances.get(identifier):
                    engine.read_peaks(instance)
        for instance in self.store.instances.values():
            if instance.running:
                instance.touch(now)
        self.store.recorder["at"] = now

    def _read_counts(self, now: float) -> None:
        store = self.store
        try:
            if not self.functions.is_armed():
                text = "the kernel's programs were removed while calls were recorded; they are loaded again"
                store.add_gap(NOT_ARMED, CALLS, text, store.recorder["at"], now)
                store.sources[CALLS] = self._arm()
            counts = self.functions.read_counts()
        except (RecorderError, OSError) as error:
            store.add_gap(NOT_ARMED, CALLS, f"the kernel's counters could not be read: {error}", store.recorder["at"], now)
            return
        groups = list_groups(self.host)
        self.attribution.learn_paths({**counts.cgroups, **groups})
        store.merge_counts(counts, self.attribution.find_owner, self.machine, now)
        ended = {call.cgroup for call in [*counts.calls, *counts.denied]} - set(groups)
        self._ended = {group: self._ended.get(group, now) for group in ended}
        self._saved = set() if self._is_behind else {group for group, since in self._ended.items() if now - since >= FORGET_AFTER}

    def _forget_ended(self) -> None:
        """Make room in the kernel's maps: remove saved counts of control groups that ended long ago. Messages that wait may need their names."""
        if self._saved:
            with suppress(RecorderError, OSError):
                self.functions.forget_cgroups(self._saved)
            self._saved = set()

    def _find_cgroup(self, pid: int) -> int | None:
        try:
            return self.functions.find_cgroup_of(pid)
        except (RecorderError, OSError):  # the pins were removed; the next count notices it
            return None

    def _note_lost_messages(self, now: float) -> None:
        if self.audit is None:
            return
        lost = self._parser.serials.take_lost(now)
        try:
            total = request_status()["lost"]
            # `auditctl --reset-lost` sets it to 0
            lost += total - self._lost_before if total >= self._lost_before else total
            self._lost_before = total
        except OSError:
            pass
        if lost or self.audit.overruns != self._overruns:
            self._overruns = self.audit.overruns
            text = "some of the kernel's audit messages were lost, so accesses can be missing"
            # after an overrun, the next message shows how many are missing
            self.store.add_gap(LOST_MESSAGES, ACCESS, text, self.store.recorder["at"], now, lost=lost or None)

    # --- saving -------------------------------------------------------------------------------------------------------

    def save_now(self, now: float) -> dict[str, Any]:
        """Read all that can be read now, and save it. Returns `version` and `settings`."""
        for engine in self.engines:
            engine.catch_up(now)
        self._describe_host()
        self.collect_counts(now)
        for engine in self.engines:
            own = [i for i in self.store.instances.values() if i.running and i.engine == engine.engine.user]
            for instance in own:
                self.read_audit(time.time())
                if engine.stream is None or not engine.read_changes(instance):
                    break
        self.save()
        return {"version": self.settings["version"], "settings": dict(self.settings)}

    def save(self) -> float:
        """Write recorded.json, and return how many seconds it took."""
        began = time.monotonic()
        write_atomically(self.host.path(RECORDED), self.store.render(), 0o600)
        self._forget_ended()
        return time.monotonic() - began

    def _describe_host(self) -> None:
        """Note versions of kernel, engine and the programs that a recording depends on."""
        system = observe_system(self.host)
        known: dict[str, Any] = {"engine": "", "runtime": "", **self.store.host}
        known |= {key: system[key] for key in ("kernel", "machine", "lsm")}
        known["libseccomp"] = read_libseccomp_version()
        known["apparmor_parser"] = read_parser_version()
        for engine in self.engines:
            if engine.stream is None:
                continue
            try:
                known |= engine.describe_engine()
            except (EngineError, EngineUnreachable):
                continue
            self._described = True
            break
        self.store.host = known


def open_store(host: Host, now: float, boot: str, version: str) -> RecorderStore:
    """Return what was recorded before, or a new store. A damaged file is kept under another name, and is a gap."""
    path, problem = host.path(RECORDED), ""
    try:
        text = host.read(RECORDED, RECORDED_LIMIT)
        if text is not None:
            return load_store(text)
    except DAMAGED as error:
        problem = f"{RECORDED} was damaged ({error}), so what was recorded before is missing; it is kept as {path.name}.damaged"
        sys.stderr.write(f"{problem}\n")
        path.replace(path.with_name(f"{path.name}.damaged"))
    store = RecorderStore({"id": secrets.token_hex(4), "since": now, "at": None, "boot_id": boot, "version": version})
    if problem:
        store.add_gap(RESTARTED, CALLS, problem, None, now)
    return store
