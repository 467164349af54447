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
from ..host.data_root import ENGINE_ENTRIES
from ..host.files import fsync_folder
from ..host.root import Host
from .roots import SUBJECT, VIEW, MigrationBlocked, describe_content, find_removal_problem, is_empty, list_mount_points, read_traces

# Mounts of stopped containers that an engine leaves if its shutdown was slow (moby cmd/dockerd/daemon.go, shutdownDaemon), and always with the
# containerd store (seen with 28.5.2).
_STALE_MOUNT = re.compile(r"overlay2/[^/]+/merged|containers/[^/]+/mounts/shm|rootfs/[^/]+/[^/]+")
_CONTAINERD = "/run/containerd/containerd.sock"
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
    found = sorted(entry for entry in source.iterdir() if entry.name in ENGINE_ENTRIES or entry.name in (_TRASH, VIEW))
    if found:
        _check_roots(remembered, source, target, found)
    for point in list_mount_points(host, found):
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


def _unmount(point: Path) -> None:
    """Unmount a file system. Raises MigrationBlocked while something uses it."""
    try:
        done = subprocess.run(["umount", str(point)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired as error:  # of a network file system whose server is away
        raise MigrationBlocked(f"{point} cannot be unmounted within 120 s; stop what uses it first") from error
    if done.returncode:
        raise MigrationBlocked(f"{point} cannot be unmounted: {done.stderr.strip()}; stop what uses it first")


def remove_migrated(host: Host, entries: list[Path]) -> None:
    """Remove the entries. All are renamed first, so that an engine never finds half a root. Raises MigrationBlocked, OSError."""
    source = host.path(state.load(host, SUBJECT)["source"])
    for point in list_mount_points(host, entries):
        _unmount(point)
    trash = source / _TRASH
    trash.mkdir(mode=0o700, exist_ok=True)
    for entry in entries:
        if entry != trash:
            os.rename(entry, trash / entry.name)
    fsync_folder(source)
    shutil.rmtree(trash)
    state.save(host, SUBJECT, {})


def list_empty_roots(host: Host, info: Mapping[str, Any]) -> tuple[list[Path], list[str]]:
    """Return the empty remapped roots in the engine's plain one, and a message on each one that is kept for something else that it holds.

    Both are empty if the engine itself is remapped. Raises OSError.
    """
    root = host.path(str(info.get("DockerRootDir") or "/nonexistent"))
    found: list[Path] = []
    kept: list[str] = []
    if _REMAPPED.fullmatch(root.name) or not root.is_dir():
        return found, kept
    for entry in sorted(entry for entry in root.iterdir() if _REMAPPED.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink()):
        if not is_empty(entry):
            continue
        problem = find_removal_problem(host, entry) or _find_containerd_images(host, info, entry)
        if problem:
            kept.append(problem)
        else:
            found.append(entry)
    return found, kept


def _find_containerd_images(host: Host, info: Mapping[str, Any], root: Path) -> str:
    """Return why a root is not empty: containerd keeps images of its engine. Empty if there are none.

    The files of that store are outside of the root. An engine that uses it creates no folder `image` there (seen with 28.5.2).
    """
    name, namespace = f"/{root.relative_to(host.root)}", f"moby-{root.name}"
    address = (info.get("Containerd") or {}).get("Address") or _CONTAINERD
    command = ["ctr", "--address", address, "--namespace", namespace, "images", "ls", "--quiet"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
        images = done.stdout.split()
    except (OSError, subprocess.SubprocessError):
        if (root / "image").exists():
            return ""
        return f"{name} is kept: whether containerd has images in its namespace {namespace} is not known ({' '.join(command)} fails)"
    if not images:
        return ""
    return (
        f"{name} is kept: containerd has {len(images)} images in its namespace {namespace}, beginning with {images[0]};"
        f" to remove them: ctr --namespace {namespace} images rm NAME"
    )


def measure_size(path: Path) -> int:
    """Return the size on disk in bytes."""
    total = os.lstat(path).st_blocks * 512
    for top, folders, names in os.walk(path):
        total += sum(os.lstat(os.path.join(top, name)).st_blocks * 512 for name in folders + names)
    return total
