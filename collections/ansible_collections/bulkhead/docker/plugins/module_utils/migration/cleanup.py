# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds and removes data roots that no engine uses: the plain one after a migration, and empty remapped ones."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..host import state
from ..host.files import fsync_folder
from ..host.root import Host
from .roots import SUBJECT, MigrationBlocked, describe_content, is_empty, read_traces

# What an engine creates in its root (moby daemon/daemon.go, NewDaemon). Nothing else is removed.
_ENGINE_ENTRIES = frozenset(
    "buildkit containers engine-id image network overlay2 plugins runtimes swarm tmp trust volumes nuke-graph-directory.sh".split()
)
# Mounts of stopped containers that an engine leaves if its shutdown was slow (moby cmd/dockerd/daemon.go, shutdownDaemon).
_STALE_MOUNT = re.compile(r"overlay2/[^/]+/merged|containers/[^/]+/mounts/shm")
_REMAPPED = re.compile(r"\d+\.\d+")
_TRASH = ".bulkhead-old"


def list_migrated(host: Host, info: Mapping[str, Any]) -> list[Path]:
    """Return what is left of a migrated plain root; empty if nothing was migrated, or it is removed.

    info: the engine's `/info`. Raises MigrationBlocked if the engine uses another root than the migrated one, or if an engine has worked in
    the plain root since: its content then differs from what was migrated.
    """
    remembered = state.load(host, SUBJECT)
    if not remembered:
        return []
    if info.get("DockerRootDir") != remembered["target"]:
        raise MigrationBlocked(
            f"{remembered['source']} is not removed: the engine uses {info.get('DockerRootDir')} instead of {remembered['target']},"
            " to which the data was migrated"
        )
    source, target = host.path(remembered["source"]), host.path(remembered["target"])
    found = sorted(entry for entry in source.iterdir() if entry.name in _ENGINE_ENTRIES or entry.name == _TRASH)
    if found:
        _check_roots(remembered, source, target, found)
    for point in _list_mount_points(host, found):
        if not _STALE_MOUNT.fullmatch(str(point.relative_to(source))):
            raise MigrationBlocked(f"{remembered['source']} is not removed: something is mounted on {point}; stop what uses it first")
    return found


def _check_roots(remembered: Mapping[str, Any], source: Path, target: Path, found: list[Path]) -> None:
    """Raise MigrationBlocked unless the plain root is as it was migrated, and the remapped one is the result of that migration."""
    left = remembered.get("left", {})
    # An interrupted run may have removed some entries.
    differing = sorted(name for name, when in read_traces(source).items() if left.get(name) != when)
    why = ""
    if differing:
        why = f"an engine has worked there since the migration ({', '.join(differing)} changed), so it has data that {target} does not have"
    elif _read_engine_id(source) and _read_engine_id(source) != _read_engine_id(target):  # written once per root (moby daemon/id.go)
        why = f"{target} is not the root to which the data was migrated (its engine-id differs)"
    if why:
        own = " ".join(shlex.quote(str(entry)) for entry in found)
        raise MigrationBlocked(
            f"{source} is not removed: {why}: {describe_content(source)}; to see this data, disable userns-remap (playbooks/rollback.yml --tags userns -e"
            f" userns_remap_existing_data=migrate); if you need none of it, remove it by hand: rm --recursive {own}"
        )


def _read_engine_id(root: Path) -> bytes:
    try:
        return (root / "engine-id").read_bytes()
    except FileNotFoundError:
        return b""


def _list_mount_points(host: Host, entries: list[Path]) -> list[Path]:
    """Return the mount points at or below these entries, the innermost first."""
    points = [Path(line.split()[4]) for line in (host.read("/proc/self/mountinfo") or "").splitlines()]
    return [point for point in reversed(points) if any(entry in (point, *point.parents) for entry in entries)]


def _unmount(point: Path) -> None:
    """Unmount a file system. Raises MigrationBlocked while something uses it."""
    done = subprocess.run(["umount", str(point)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MigrationBlocked(f"{point} cannot be unmounted: {done.stderr.strip()}; stop what uses it first")


def remove_migrated(host: Host, entries: list[Path]) -> None:
    """Remove the entries. All are renamed first, so that an engine never finds half a root. Raises MigrationBlocked, OSError."""
    source = host.path(state.load(host, SUBJECT)["source"])
    for point in _list_mount_points(host, entries):
        _unmount(point)
    trash = source / _TRASH
    trash.mkdir(mode=0o700, exist_ok=True)
    for entry in entries:
        if entry != trash:
            os.rename(entry, trash / entry.name)
    fsync_folder(source)
    shutil.rmtree(trash)
    state.save(host, SUBJECT, {})


def list_empty_roots(host: Host, info: Mapping[str, Any]) -> list[Path]:
    """Return empty remapped roots in the engine's plain one; an empty list if the engine itself is remapped."""
    root = host.path(str(info.get("DockerRootDir") or "/nonexistent"))
    if _REMAPPED.fullmatch(root.name) or not root.is_dir():
        return []
    return sorted(entry for entry in root.iterdir() if _REMAPPED.fullmatch(entry.name) and entry.is_dir() and is_empty(entry))


def measure_size(path: Path) -> int:
    """Return the size on disk in bytes."""
    total = os.lstat(path).st_blocks * 512
    for top, folders, names in os.walk(path):
        total += sum(os.lstat(os.path.join(top, name)).st_blocks * 512 for name in folders + names)
    return total
