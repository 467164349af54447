# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with a kernel, profiles and engines that tests control."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.audit.messages import Message
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import RECORDED, Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import folders
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.kernel_functions import KernelFunctions
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.pins import RecorderError
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.recorder import Recorder

WEB = "a" * 64
SCOPE = f"/system.slice/docker-{WEB}.scope"
SIGNALLED = 77  # a process whose message is about another one
SETTINGS = {"calls": True, "access": True, "users": [], "socket": "/no/such.sock", "version": "v1"}


@dataclass
class FakeCounts:
    calls: list[Any] = field(default_factory=list)
    denied: list[Any] = field(default_factory=list)
    cgroups: dict[int, str] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


class FakeKernel:
    """The kernel part: pins are files of a host's folder."""

    PINS = "/sys/fs/bpf/bulkhead/recorder"

    def __init__(self, host: Host, problem: str = "") -> None:
        self.host, self.problem = host, problem
        self.counts = FakeCounts()
        self.groups: dict[int, int] = {}
        self.forgotten: list[set[int]] = []

    def arm(self) -> None:
        if self.problem:
            raise RecorderError(self.problem)
        self.host.path(self.PINS).mkdir(parents=True, exist_ok=True)
        self.host.path(f"{self.PINS}/calls").touch()

    def is_armed(self) -> bool:
        return self.host.path(f"{self.PINS}/calls").exists()

    def read_counts(self) -> FakeCounts:
        return self.counts

    def forget_cgroups(self, groups: Collection[int]) -> None:
        self.forgotten.append(set(groups))

    def disarm(self) -> None:
        if self.problem:
            raise RecorderError(self.problem)
        shutil.rmtree(self.host.path(self.PINS))

    def find_cgroup_of(self, pid: int) -> int | None:
        return self.groups.get(pid)


@dataclass
class FakeReload:
    profile: str
    problem: str = ""


class FakeAudit:
    """Messages that a test sends."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str]] = []
        self.overruns = 0

    def read(self, limit: int) -> list[tuple[int, str]]:
        found, self.messages = self.messages[:limit], self.messages[limit:]
        return found


@dataclass
class FakeHost:
    """One host over several runs of the recorder."""

    host: Host
    kernel: FakeKernel
    audit: FakeAudit = field(default_factory=FakeAudit)
    reloaded: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    refreshed: int = 0
    problem: str = ""
    lost: int = 0

    def start(self, now: float, **settings: Any) -> Recorder:
        found = Recorder(self.host, {**SETTINGS, **settings}, self.build_functions())
        found.start(now)
        return found

    def build_functions(self) -> KernelFunctions:
        names = ("arm", "disarm", "is_armed", "read_counts", "forget_cgroups", "find_cgroup_of")
        return KernelFunctions(
            **{name: getattr(self.kernel, name) for name in names},
            record_profile=self._record,
            find_replaced=lambda unused: self.replaced,
            refresh_profiles=self._refresh,
            restore_profiles=self._restore,
            parse_access=self._parse,
        )

    def _record(self, host: Host, name: str) -> FakeReload:
        self.reloaded.append(name)
        return FakeReload(name, self.problem)

    def _refresh(self, host: Host) -> list[str]:
        self.refreshed += 1
        return [self.problem] if self.problem else []

    def _restore(self, host: Host) -> list[str]:
        if self.problem:
            return [self.problem]
        for path in host.path(folders.PROFILES).iterdir():
            path.unlink()
        return []

    def _parse(self, message: Message) -> tuple[dict[str, Any], bool, int] | None:
        pid = int(message.fields["pid"])
        if message.fields["name"] == "chown":
            return {"class": "capability", "name": "chown"}, False, pid
        return {"class": "file", "path": message.fields["name"]}, False, 0 if pid == SIGNALLED else pid

    def boot(self, name: str) -> None:
        self.host.path("/proc/sys/kernel/random/boot_id").write_text(f"{name}\n")
        pin = self.host.path(f"{self.kernel.PINS}/calls")
        pin.unlink(missing_ok=True)


def read_file(fake: FakeHost) -> dict[str, Any]:
    return dict(json.loads(fake.host.path(RECORDED).read_text()))


def list_gaps(found: Recorder) -> list[tuple[str, str]]:
    return [(gap["kind"], gap["source"]) for gap in found.store.gaps]


def add_running(found: Recorder, profile: str = "docker-default") -> None:
    instance = found.store.find_or_add(WEB, 100.0)
    instance.running, instance.about = True, {"name": "web", "apparmor": profile}


def run_container(fake: FakeHost) -> None:
    fake.host.path(f"/sys/fs/cgroup{SCOPE}").mkdir(parents=True)


def message(serial: int, pid: int, path: str) -> tuple[int, str]:
    return 1400, f'audit(1.0:{serial}): apparmor="AUDIT" profile="docker-default" name="{path}" pid={pid}'
