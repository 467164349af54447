# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots that no engine uses: the plain one after its content was carried over, and remapped ones that hold nothing."""

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
from .move import SUBJECT, Refused, count, is_empty, trace

# What an engine makes in its root (moby daemon/daemon.go, NewDaemon). Nothing else is ever removed.
_OWN = frozenset(
    "buildkit containers engine-id image network overlay2 plugins runtimes swarm tmp trust volumes nuke-graph-directory.sh".split()
)
# What an engine that was slow to shut down leaves mounted of containers that have ended (moby cmd/dockerd/daemon.go, shutdownDaemon).
_LEFT = re.compile(r"overlay2/[^/]+/merged|containers/[^/]+/mounts/shm")
_REMAPPED = re.compile(r"\d+\.\d+")
_GOING = ".bulkhead-old"


def list_migrated(host: Host, info: Mapping[str, Any]) -> list[Path]:
    """What there is of the plain root whose content the engine now has elsewhere; empty when nothing was carried, or it is gone.

    info: the engine's `/info`. Raises Refused while the engine works with another root than the one that was carried to, and where an engine has
    worked in the plain root since: what is there is then no longer what was carried.
    """
    memory = state.load(host, SUBJECT)
    if not memory:
        return []
    if info.get("DockerRootDir") != memory["target"]:
        raise Refused(
            f"{memory['source']} is not removed: the engine works with {info.get('DockerRootDir')}, and not with {memory['target']},"
            " where its content was carried to"
        )
    source, target = host.path(memory["source"]), host.path(memory["target"])
    found = sorted(entry for entry in source.iterdir() if entry.name in _OWN or entry.name == _GOING)
    if found:
        _refuse_other(memory, source, target, found)
    for point in _mounted(host, found):
        if not _LEFT.fullmatch(str(point.relative_to(source))):
            raise Refused(f"{memory['source']} is not removed: something is mounted on {point}; stop what runs there first")
    return found


def _refuse_other(memory: Mapping[str, Any], source: Path, target: Path, found: list[Path]) -> None:
    """Raises Refused unless the plain root is what was carried, and the remapped one what it was carried to."""
    left = memory.get("left", {})
    # What is missing an earlier run has removed, before it died.
    differing = sorted(name for name, when in trace(source).items() if left.get(name) != when)
    why = ""
    if differing:
        why = f"an engine has worked there since it was carried over ({', '.join(differing)} changed), and it holds what {target} has not"
    elif _identity(source) and _identity(source) != _identity(target):  # written once a root (moby daemon/id.go)
        why = f"{target} is another root than the one that it was carried to (its engine-id differs)"
    if why:
        own = " ".join(shlex.quote(str(entry)) for entry in found)
        raise Refused(
            f"{source} is not removed: {why}: {count(source)}; look at it with userns-remap off (playbooks/rollback.yml --tags userns -e"
            f" userns_remap_existing_data=migrate), or, if nothing of it is needed, remove it by hand: rm --recursive {own}"
        )


def _identity(root: Path) -> bytes:
    try:
        return (root / "engine-id").read_bytes()
    except FileNotFoundError:
        return b""


def _mounted(host: Host, entries: list[Path]) -> list[Path]:
    """The mount points at or below these, the innermost first."""
    points = [Path(line.split()[4]) for line in (host.read("/proc/self/mountinfo") or "").splitlines()]
    return [point for point in reversed(points) if any(entry in (point, *point.parents) for entry in entries)]


def _unmount(point: Path) -> None:
    """Raises Refused while something uses it."""
    done = subprocess.run(["umount", str(point)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{point} can't be unmounted: {done.stderr.strip()}; stop what runs there first")


def remove_migrated(host: Host, entries: list[Path]) -> None:
    """Remove them: all out of the engine's sight first, so that it can never be given half a root again. Raises Refused, OSError."""
    source = host.path(state.load(host, SUBJECT)["source"])
    for point in _mounted(host, entries):
        _unmount(point)
    going = source / _GOING
    going.mkdir(mode=0o700, exist_ok=True)
    for entry in entries:
        if entry != going:
            os.rename(entry, going / entry.name)
    fsync_folder(source)
    shutil.rmtree(going)
    state.save(host, SUBJECT, {})


def list_empty_roots(host: Host, info: Mapping[str, Any]) -> list[Path]:
    """Remapped roots under the engine's plain one that hold nothing of anybody. None while the engine is remapped itself."""
    root = host.path(str(info.get("DockerRootDir") or "/nonexistent"))
    if _REMAPPED.fullmatch(root.name) or not root.is_dir():
        return []
    return sorted(entry for entry in root.iterdir() if _REMAPPED.fullmatch(entry.name) and entry.is_dir() and is_empty(entry))


def measure_size(path: Path) -> int:
    """Bytes on disk."""
    total = os.lstat(path).st_blocks * 512
    for top, folders, names in os.walk(path):
        total += sum(os.lstat(os.path.join(top, name)).st_blocks * 512 for name in folders + names)
    return total
