# SPDX-License-Identifier: GPL-3.0-or-later
"""Data roots of an engine: what they contain, and whether an engine has worked there."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..host.data_root import find_other_entries
from ..host.root import Host, read_state
from . import layout

SUBJECT = "migration"
VIEW = ".bulkhead-store"  # in a data root: the view of its images in containerd, while they are migrated
_TRACED = (
    "tmp", "runtimes", "buildkit", "containers", "volumes", "volumes/metadata.db", "network/files/local-kv.db",
    f"image/{layout.DRIVER}/repositories.json",
)  # fmt: skip


class MigrationBlocked(ValueError):
    """The data root cannot be migrated or removed, and nothing was changed."""


def explain_other_entries(path: str, entries: list[str], shown: int = 5) -> str:
    """Return why a root with such entries is not removed, and what to do."""
    listed = ", ".join(entries[:shown]) + (f" and {len(entries) - shown} more" if len(entries) > shown else "")
    return f"{path} has no image, container, volume or network, but it holds {listed}; move that to another place, or remove it, first"


def has_run(root: Path) -> bool:
    """Return whether an engine has run with this root: it creates the folder of the build cache at every start, which is never copied."""
    return (root / "buildkit").exists()


def read_traces(root: Path) -> dict[str, int]:
    """Return the times (st_mtime_ns) that change if an engine works in a root: each start creates `tmp` and `runtimes` again (moby
    daemon/daemon.go, prepareTempDir; daemon/runtime_unix.go, initRuntimesDir), and the others change with the content."""
    return {name: os.lstat(root / name).st_mtime_ns for name in _TRACED if os.path.lexists(root / name)}


def is_empty(root: Path) -> bool:
    """Return whether a root has no image, container, volume or network. An unreadable root is not empty."""
    try:
        if any(_count_content(root).values()):
            return False
        networks = root / "network" / "files" / "local-kv.db"
        text = networks.read_bytes() if networks.exists() else b""
    except OSError:
        return False
    # The store is a bolt file whose pages have a key, eight bytes of a counter, and JSON. A free page may still name a removed network, which
    # then counts as existing.
    names = set(re.findall(rb'docker/network/v1\.0/network/[0-9a-f]{64}/.{8}\{.{0,4000}?"name":"([^"]*)"', text, re.DOTALL))
    return not text or (bool(names) and names <= {b"host", b"none", b"bridge"})


def _count_content(root: Path) -> dict[str, int]:
    images = sum(1 for _path in root.glob("image/*/imagedb/content/sha256/*"))
    return {"images": images, "containers": len(layout.list_containers(root)), "volumes": len(layout.list_volumes(root))}


def describe_content(root: Path) -> str:
    """Return the content of a root as text."""
    return ", ".join(f"{number} {kind}" for kind, number in _count_content(root).items())


def find_removal_problem(host: Host, root: Path) -> str:
    """Return why an empty root must not be removed; empty if it may be. Raises OSError."""
    name = "/" + str(root.relative_to(host.root))
    others = find_other_entries(root)
    if others:
        return explain_other_entries(name, others)
    points = list_mount_points(host, [root])
    return f"{name} is empty, but something is mounted on {points[0]}; unmount it first" if points else ""


def judge_target(host: Host, target: Path) -> tuple[str, str]:
    """Return what to do with the folder of the new root before data is copied there, and why that is not possible; both empty if there is none.

    `replace`: an empty root. `resume`: a copy that an interrupted run has not put into use.
    """
    if not target.exists():
        return "", ""
    name = "/" + str(target.relative_to(host.root))
    if is_empty(target):
        return "replace", find_removal_problem(host, target)
    if read_state(host, SUBJECT).get("target") == name and not has_run(target):
        return "resume", ""
    return "", (
        f"{name} has been an engine's root before and contains {describe_content(target)}; use it as it is with"
        " userns_remap_existing_data: hide, or move it to another place first"
    )


def read_mount_points(host: Host) -> list[Path]:
    """Return all mount points, in the order in which they were mounted (man 5 proc_pid_mountinfo)."""
    return [Path(line.split()[4]) for line in (host.read("/proc/self/mountinfo") or "").splitlines()]


def list_mount_points(host: Host, entries: list[Path]) -> list[Path]:
    """Return the mount points at or below these entries, the innermost first."""
    return [point for point in reversed(read_mount_points(host)) if any(entry in (point, *point.parents) for entry in entries)]
