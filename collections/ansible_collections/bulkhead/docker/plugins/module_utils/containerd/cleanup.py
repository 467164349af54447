# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes from containerd what an engine had there before its migration to a storage driver. Other namespaces are not touched.

containerd itself removes contents and snapshots that nothing names any more (containerd docs/garbage-collection.md). Names are images and
leases: the engine takes one lease per container, and one per build.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..host.root import sha256
from ..migration.images_list import read_output
from ..migration.layout import SNAPSHOTTER
from ..migration.roots import MigrationBlocked

_AT_ONCE = 50  # names per command


def list_migrated_images(remembered: Mapping[str, Any], read: Callable[[list[str]], str] = read_output) -> list[str]:
    """Return what finalizing removes from containerd, as text; empty if the migrated images were not there.

    remembered: the state of the migration. Raises MigrationBlocked if containers run there, or containerd has other images than were migrated.
    """
    if not remembered.get("images"):
        return []
    base = _get_base(remembered)
    namespace = base[-1]
    running = read([*base, "tasks", "ls", "--quiet"]).split()
    if running:
        raise MigrationBlocked(
            f"containers run in containerd's namespace {namespace}: {', '.join(name[:12] for name in running)}; stop them first"
        )
    listed = read([*base, "images", "ls"])
    if not remembered.get("removing") and sha256(listed) != remembered["listed"]:
        raise MigrationBlocked(
            f"containerd's namespace {namespace} has other images than were migrated, and nothing is removed; to see them: ctr --namespace"
            f" {namespace} images ls"
        )
    names = [line.split()[0] for line in listed.splitlines()[1:] if line.strip()]
    leases, snapshots = _list_leases(base, read), _list_snapshots(base, read)
    if not (names or leases or snapshots):
        return []
    return [*(f"image {name} in containerd" for name in names), f"{len(snapshots)} snapshots and {len(leases)} leases in containerd"]


def remove_migrated_images(remembered: Mapping[str, Any], read: Callable[[list[str]], str] = read_output) -> str:
    """Remove the images and leases of the engine's namespace. Returns what is left there, as a warning. Raises MigrationBlocked."""
    base = _get_base(remembered)
    names = read([*base, "images", "ls", "--quiet"]).split()
    for command, found in (("images", names), ("leases", _list_leases(base, read))):
        for start in range(0, len(found), _AT_ONCE):
            read([*base, command, "rm", "--sync", *found[start : start + _AT_ONCE]])
    left = _list_snapshots(base, read)
    if not left:
        return ""
    return (
        f"{len(left)} snapshots are left in containerd's namespace {base[-1]}, because something else still uses them; to see them: ctr --namespace"
        f" {base[-1]} snapshots --snapshotter {SNAPSHOTTER} ls"
    )


def _get_base(remembered: Mapping[str, Any]) -> list[str]:
    """Return the command up to the namespace, as the migration used it."""
    command: list[str] = list(remembered["images"])
    return command[: command.index("--namespace") + 2]


def _list_leases(base: list[str], read: Callable[[list[str]], str]) -> list[str]:
    return read([*base, "leases", "ls", "--quiet"]).split()


def _list_snapshots(base: list[str], read: Callable[[list[str]], str]) -> list[str]:
    return [line.split()[0] for line in read([*base, "snapshots", "--snapshotter", SNAPSHOTTER, "ls"]).splitlines()[1:] if line.strip()]
