# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the AppArmor profiles of containers loaded with `audit`, and notes what was missed before and meanwhile."""

from __future__ import annotations

import time

from ..host.root import Host
from .docker_default import NAME as DOCKER_DEFAULT
from .kernel_functions import DAMAGED, KernelFunctions
from .store import ACCESS, LOST_MESSAGES, PROFILE_REPLACED, START_NOT_SEEN, UNKNOWN_PROFILE, RecordedContainer, RecorderStore

PROFILE_INTERVAL = 10.0
# Seconds: a container's process begins before the engine says that it has started.
START_SECONDS = 5.0


class RecordedProfiles:
    """The profiles under recording. has_capabilities: whether a capability was reported since the profiles were loaded anew."""

    def __init__(self, host: Host, functions: KernelFunctions, store: RecorderStore) -> None:
        self.host, self.functions, self.store = host, functions, store
        self.has_capabilities = False
        self._since: dict[str, float] = {}
        # Recorded as soon as they are loaded; after the start of the first container it would be too late.
        self._expected = {DOCKER_DEFAULT: None}

    def record(self, instance: RecordedContainer) -> None:
        """Reload the profile of an instance with `audit`, once per profile. What the instance did before is a gap."""
        name, now = str(instance.about["apparmor"]), time.time()
        if name in ("", "unconfined"):
            return
        if name not in self.store.profiles and (problem := self._reload(name, now)):
            self.store.add_gap(UNKNOWN_PROFILE, ACCESS, problem, now, None, profile=name)
            return
        since, started = self._since.get(name, 0.0), instance.started or 0.0
        if started - START_SECONDS < since:
            text = f"{instance.about['name']} was running before its accesses were recorded, so those of its start are missing; restart it when possible"
            self.store.add_gap(START_NOT_SEEN, ACCESS, text, instance.started, max(started, since), instance=instance.id)

    def expect_again(self) -> None:
        """Forget that the profiles are recorded, after a boot, but record them as soon as they are loaded."""
        self._expected.update(dict.fromkeys(self.store.profiles))
        self.store.profiles = []

    def record_expected(self, now: float) -> None:
        """Reload docker-default, and what was recorded before the boot, if loaded."""
        for name in self._expected:
            if name not in self.store.profiles:
                self._reload(name, now)

    def check(self, now: float) -> None:
        """Reload profiles that were replaced by another program, and those whose capabilities the kernel would not report again."""
        if not self.store.profiles:
            return
        self.record_replaced(now)
        if self.has_capabilities:
            self.has_capabilities = False
            for problem in self.functions.refresh_profiles(self.host):
                self.store.add_gap(LOST_MESSAGES, ACCESS, problem, now, now)

    def record_replaced(self, now: float) -> None:
        """Reload profiles that were replaced by another program, such as docker-default by the engine when it starts."""
        try:
            replaced = self.functions.find_replaced(self.host)
        except DAMAGED as error:
            text = f"it cannot be read which AppArmor profiles are loaded: {error}"
            self.store.add_gap(PROFILE_REPLACED, ACCESS, text, now, now)
            return
        for name in replaced:
            text = f"the AppArmor profile {name} was loaded anew by another program, so accesses are missing until it was recorded again"
            self.store.add_gap(PROFILE_REPLACED, ACCESS, text, max(now - PROFILE_INTERVAL, 0), now, profile=name)
            reload = self.functions.record_profile(self.host, name)
            if reload.problem:
                self.store.add_gap(UNKNOWN_PROFILE, ACCESS, reload.problem, now, None, profile=name)

    def _reload(self, name: str, now: float) -> str:
        """Reload a profile with `audit`. Returns why it is not recorded; empty if it is."""
        reload = self.functions.record_profile(self.host, name)
        if not reload.problem:
            self.store.profiles.append(name)
            self._since[name] = now
        return str(reload.problem)
