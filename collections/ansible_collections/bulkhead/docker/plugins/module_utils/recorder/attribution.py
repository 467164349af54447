# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes audit messages to containers: by the control group of their process, which the kernel part remembers after its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from ..host.cgroup import CGROUPFS, find_container_group
from ..host.root import Host

# Messages of control groups whose path is not known yet.
MAX_PENDING = 20_000
# How many seconds a PID stands for the same container. No PID is used again within this time.
_PID_SECONDS, _MAX_PIDS = 1.0, 10_000
# Seconds by which a message and the event of the same container's start or end can be apart.
EVENT_SECONDS = 10.0


class Attribution:
    """owners: cgroup ID -> ID of the container, empty for all others.

    managers: control groups of the managers of users whose engines are recorded.
    is_recorded: whether an ID is of a container of a followed engine; None if unknown.
    find_cgroup: PID -> cgroup ID, also after the end of the process (kernel.find_cgroup_of); None if calls are not recorded.
    list_confined: AppArmor profile -> IDs of the recorded containers that have it and ran within EVENT_SECONDS.
    """

    def __init__(
        self,
        host: Host,
        find_cgroup: Callable[[int], int | None] | None,
        is_recorded: Callable[[str], bool | None],
        list_confined: Callable[[str], list[str]],
        managers: tuple[str, ...] = (),
    ) -> None:
        self.owners: dict[int, str] = {}
        self.pending: dict[tuple[int, str, bool], int] = {}
        self.unknown = 0
        self.waiting: dict[tuple[str, str, bool], tuple[int, float]] = {}
        self._host, self._find_cgroup, self._is_recorded, self._list_confined = host, find_cgroup, is_recorded, list_confined
        self._managers = tuple(manager.removeprefix(CGROUPFS) for manager in managers)
        self._folders: dict[int, str] = {}
        self._pids: dict[int, tuple[str, float]] = {}

    def learn_paths(self, cgroups: Mapping[int, str]) -> None:
        """Note the paths of control groups, as the kernel part has them; those of running containers are kept."""
        self.owners = {**{group: self._name_owner(path) for group, path in cgroups.items()}, **self._folders}

    def learn_folder(self, folder: str, container: str) -> None:
        """Note the control group of a container. The inode of its folder is its ID (fs/kernfs/dir.c, with 64-bit inode numbers)."""
        try:
            group = self._host.path(folder).stat().st_ino
        except OSError:
            return
        self.owners[group] = self._folders[group] = container

    def forget(self, container: str) -> None:
        """Remove the control groups of a container that has ended; the kernel part still knows their paths."""
        self._folders = {group: owner for group, owner in self._folders.items() if owner != container}

    def find_owner(self, group: int) -> str | None:
        """Return the ID of the container with this control group; None for others."""
        return self.owners.get(group) or None

    def _name_owner(self, path: str) -> str:
        found = find_container_group(f"0::{path}")
        if not found or ("/user@" in path and not path.startswith(tuple(f"{manager}/" for manager in self._managers))):
            return ""
        recorded = self._is_recorded(found[0])
        return found[0] if recorded or (recorded is None and found[1] == "docker") else ""

    def attribute(self, pid: int, text: str, denied: bool) -> str | None:
        """Return the container of a process; None if it is not known. Then the access is kept until the path is known, or counted as unknown."""
        now = time.monotonic()
        known = self._pids.get(pid)
        if known and now - known[1] < _PID_SECONDS:
            return known[0]
        found = self._look_up(pid, text, denied)
        if found:
            if len(self._pids) >= _MAX_PIDS:
                self._pids.clear()
            self._pids[pid] = (found, now)
        return found

    def _look_up(self, pid: int, text: str, denied: bool) -> str | None:
        group = self._find_cgroup(pid) if self._find_cgroup else None
        if group is not None and self.owners.get(group):
            return self.owners[group]
        try:
            found = self._name_owner((self._host.read(f"/proc/{pid}/cgroup") or "").strip().rpartition("::")[2])
        except OSError:
            found = ""
        if found:
            return found
        key = (group or 0, text, denied)
        if group is None or group in self.owners or (key not in self.pending and len(self.pending) >= MAX_PENDING):
            self.unknown += 1
        else:
            self.pending[key] = self.pending.get(key, 0) + 1
        return None

    def attribute_later(self, profile: str, text: str, denied: bool) -> None:
        """Keep a message of which only the profile is known, until the events of the same moment have been read."""
        key = (profile, text, denied)
        if key not in self.waiting and len(self.waiting) >= MAX_PENDING:
            self.unknown += 1
            return
        count, since = self.waiting.get(key, (0, time.monotonic()))
        self.waiting[key] = (count + 1, since)

    def has_pending(self) -> bool:
        return bool(self.pending or self.waiting)

    def take_resolved(self) -> list[tuple[str, str, bool, int]]:
        """Return container, access, whether it was denied, and count of the accesses that waited; the others are counted as unknown.

        Of several containers with the same profile, each gets an allowed access, because the profile allows it to all. A denied one is
        of one of them, so it is unknown. Without a container, an access is dropped: it is of one that is not recorded, such as a probe.
        """
        found = []
        for (group, text, denied), count in self.pending.items():
            if owner := self.owners.get(group):
                found.append((owner, text, denied, count))
            else:
                self.unknown += count
        self.pending.clear()
        for key, (count, since) in list(self.waiting.items()):
            profile, text, denied = key
            owners = self._list_confined(profile)
            if not owners and time.monotonic() - since < EVENT_SECONDS:
                continue
            del self.waiting[key]
            if denied and len(owners) > 1:
                self.unknown += count
            else:
                found += [(owner, text, denied, count) for owner in owners]
        return found

    def take_unknown(self) -> int:
        """Return how many messages could not be attributed since the last time."""
        unknown, self.unknown = self.unknown, 0
        return unknown


def list_groups(host: Host) -> dict[int, str]:
    """Return ID -> path below the root of every control group that exists."""
    found = {}
    top = str(host.path(CGROUPFS))
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        found[entry.inode()] = entry.path.removeprefix(top)
                        waiting.append(entry.path)
        except OSError:  # removed meanwhile
            continue
    return found
