# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks trees of files, and surveys their size and owners before they are copied. Reads only. Symbolic links are not followed."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from .ids import IdMaps, UnmappedId

ACLS = frozenset({"system.posix_acl_access", "system.posix_acl_default"})
# Bytes of a path, with the zero at its end (Linux include/uapi/linux/limits.h, PATH_MAX). The copy of a tree has longer paths.
_LONGEST_PATH = 4096
_STRIDE = 256  # entries between checks of the clock


@dataclass
class TreeSurvey:
    """The content of trees. unmapped: `path: user ID n`, the first few. size: how many IDs the range needs, 0 if none is missing.

    mounts: other file systems inside. errors: what cannot be read or copied. longer: how many bytes the copy's paths have more. deadline:
    monotonic time; trees that are not surveyed by then are in `unread`.
    """

    bytes: int = 0
    inodes: int = 0
    size: int = 0
    unmapped: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    longer: int = 0
    deadline: float = math.inf
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def add(self, path: str, ids: IdMaps, shown: int = 5) -> None:
        """Add a tree to which others may write meanwhile."""
        try:
            for number, (name, status) in enumerate(walk_tree(path, is_live=True, mounts=self.mounts)):
                if number % _STRIDE == 0 and time.monotonic() > self.deadline:
                    self.unread.append(path)
                    return
                self._add_entry(os.path.join(path, name) if name else path, status, ids, shown)
        except OSError as error:
            self.errors.append(str(error))

    def _add_entry(self, path: str, status: os.stat_result, ids: IdMaps, shown: int) -> None:
        if (status.st_dev, status.st_ino) in self._seen:
            return
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            self._seen.add((status.st_dev, status.st_ino))
        self.bytes += status.st_blocks * 512
        self.inodes += 1
        if len(os.fsencode(path)) + self.longer >= _LONGEST_PATH:
            self.errors.append(f"{path[:80]}…: the path of its copy has more than {_LONGEST_PATH} bytes")
        try:
            ids.map_uid(status.st_uid), ids.map_gid(status.st_gid)
            for name in ACLS.intersection(os.listxattr(path, follow_symlinks=False)):
                ids.map_acl(os.getxattr(path, name, follow_symlinks=False))
        except UnmappedId as error:
            self.size = max(self.size, error.number + 1)
            if len(self.unmapped) < shown:
                self.unmapped.append(f"{path}: {error}")
        except FileNotFoundError:
            pass  # it was removed meanwhile
        except ValueError as error:
            self.errors.append(f"{path}: {error}")


def walk_tree(top: str, is_live: bool = False, mounts: list[str] | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Yield `top` (as "") and every entry below it, a folder before its entries. Other file systems are not entered. Raises OSError.

    is_live: others write there, so entries that vanish are skipped. mounts: gets other file systems, which are otherwise an error.
    """
    gone = (FileNotFoundError, NotADirectoryError) if is_live else ()
    try:
        status = os.lstat(top)
    except gone:
        return
    device = status.st_dev
    yield "", status
    pending = [""] if stat.S_ISDIR(status.st_mode) else []
    while pending:
        folder = pending.pop()
        try:
            names = sorted(os.listdir(os.path.join(top, folder)), reverse=True)
        except gone:
            continue
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(os.path.join(top, path))
            except gone:
                continue
            if status.st_dev != device:
                if mounts is None:
                    raise OSError(
                        f"{os.path.join(top, path)} is on another file system, because something is mounted there; unmount it first"
                    )
                mounts.append(os.path.join(top, path))
                continue
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
