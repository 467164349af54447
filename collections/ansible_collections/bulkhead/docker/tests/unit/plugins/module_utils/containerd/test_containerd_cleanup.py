# SPDX-License-Identifier: GPL-3.0-or-later
"""What finalizing removes from containerd, with a program that answers as `ctr` does."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.cleanup import list_migrated_images, remove_migrated_images
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import sha256
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.roots import MigrationBlocked

BASE = ["ctr", "--address", "/run/c.sock", "--namespace", "moby"]


class Containerd:
    """Answers as `ctr` does. held: a snapshot that something else uses."""

    def __init__(self, held: bool = False) -> None:
        self.images, self.leases, self.tasks, self.held = ["docker.io/library/web:1"], ["d" * 64], "", held
        self.commands: list[list[str]] = []

    def read(self, command: list[str]) -> str:
        assert command[: len(BASE)] == BASE
        match command[len(BASE) :]:
            case ["tasks", "ls", "--quiet"]:
                return self.tasks
            case ["images", "ls"]:
                return "REF TYPE\n" + "".join(f"{name} image\n" for name in self.images)
            case ["images", "ls", "--quiet"]:
                return "\n".join(self.images)
            case ["leases", "ls", "--quiet"]:
                return "\n".join(self.leases)
            case ["snapshots", "--snapshotter", "overlayfs", "ls"]:
                return "KEY PARENT KIND\n" + ("held  Committed\n" if self.held or self.images else "")
            case ["images" | "leases" as kind, "rm", "--sync", *names]:
                self.commands.append(command[len(BASE) :])
                setattr(self, kind, [name for name in getattr(self, kind) if name not in names])
                return ""
        raise AssertionError(command)


def remember(containerd: Containerd) -> dict[str, Any]:
    return {"images": [*BASE, "images", "ls"], "listed": sha256(containerd.read([*BASE, "images", "ls"]))}


def test_images_and_leases_of_the_namespace_are_removed() -> None:
    containerd = Containerd()
    remembered = remember(containerd)
    assert list_migrated_images(remembered, containerd.read) == [
        "image docker.io/library/web:1 in containerd",
        "1 snapshots and 1 leases in containerd",
    ]
    assert containerd.commands == []
    assert remove_migrated_images(remembered, containerd.read) == ""
    assert containerd.images == containerd.leases == []
    assert list_migrated_images({**remembered, "removing": True}, containerd.read) == []


def test_other_images_than_the_migrated_ones_are_kept() -> None:
    containerd = Containerd()
    remembered = remember(containerd)
    containerd.images.append("docker.io/library/new:1")
    with pytest.raises(MigrationBlocked, match="has other images than were migrated"):
        list_migrated_images(remembered, containerd.read)
    assert list_migrated_images({**remembered, "removing": True}, containerd.read), "an interrupted run continues"


def test_containers_that_run_there_stop_it() -> None:
    containerd = Containerd()
    remembered = remember(containerd)
    containerd.tasks = "e" * 64
    with pytest.raises(MigrationBlocked, match="containers run in containerd's namespace moby"):
        list_migrated_images(remembered, containerd.read)


def test_what_something_else_names_is_reported() -> None:
    containerd = Containerd(held=True)
    assert "1 snapshots are left" in remove_migrated_images(remember(containerd), containerd.read)


def test_a_migration_of_a_storage_driver_has_nothing_there() -> None:
    assert list_migrated_images({"source": "/var/lib/docker"}, Containerd().read) == []
