# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts of a container, and which of the host's paths each of them shows, from mountinfo alone (man 5 proc_pid_mountinfo). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_ESCAPE = re.compile(r"\\([0-7]{3})")
DELETED = "//deleted"


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo.

    device: `MAJOR:MINOR` of the file system. root: the path in that file system which is mounted. point: where, as its process sees it.
    writable: neither the mount nor the file system is read-only. shared: what is mounted below also appears in its peers.
    """

    device: str
    root: str
    point: str
    options: list[str]
    shared: bool
    type: str
    writable: bool


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts in the order of the kernel. A line that is not one is left out."""
    found = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, about = left.split(), right.split()
        if not separator or len(fields) < 6 or len(about) < 3:
            continue
        options = fields[5].split(",")
        writable = "ro" not in options and "ro" not in about[2].split(",")
        shared = any(field.startswith("shared:") for field in fields[6:])
        found.append(Mount(fields[2], _unescape(fields[3]), _unescape(fields[4]), options, shared, about[0], writable))
    return found


def locate(mount: Mount, host_mounts: Sequence[Mount]) -> list[str]:
    """Return the paths at which the host has what a mount shows; empty for a file system that the host has not mounted.

    Of a mount that shows more than the host has mounted, the host's mount point is returned. The most general mount comes first.
    """
    root, found = mount.root.removesuffix(DELETED), []
    for other in sorted((m for m in host_mounts if (m.device, m.type) == (mount.device, mount.type)), key=lambda m: len(m.root)):
        if is_below(root, other.root):
            found.append(join(other.point, root[len(other.root.rstrip("/")) :]))
        elif is_below(other.root, root):
            found.append(other.point)
    return list(dict.fromkeys(found))


def find_in_file_system(path: str, host_mounts: Sequence[Mount]) -> tuple[str, str]:
    """Return the device of the file system that has a path of the host, and the path in it; empty texts without a mount."""
    covering = [m for m in host_mounts if is_below(path, m.point)]
    if not covering:
        return "", ""
    last = max(enumerate(covering), key=lambda item: (len(item[1].point), item[0]))[1]
    return last.device, join(last.root, path[len(last.point.rstrip("/")) :])


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or below it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def touches(path: str, trees: Iterable[str]) -> Iterator[str]:
    """Yield the trees that are the path, contain it or are below it."""
    return (tree for tree in trees if is_below(path, tree) or is_below(tree, path))


def join(folder: str, rest: str) -> str:
    """Return a path below a folder."""
    return f"{folder.rstrip('/')}/{rest.lstrip('/')}".rstrip("/") or "/"


def _unescape(path: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), path)
