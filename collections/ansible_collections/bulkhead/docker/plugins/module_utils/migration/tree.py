# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies a tree of files with mapped owners, and compares the copy with the original.

Copied are data with holes, mode with setuid bits, times, hard links, symbolic links, devices, pipes, sockets, extended attributes, file
capabilities and access control lists. Not copied are inode flags (chattr), creation times, and `trusted.overlay.origin`, which points from
a copied-up file to its origin (Linux Documentation/filesystems/overlayfs.rst) and would name a file of the plain root.

Nothing else may write to the source meanwhile. Symbolic links are not followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from .ids import IdMaps
from .walk import ACLS, walk_tree

_NOT_COPIED = frozenset({"trusted.overlay.origin"})
_CHUNK = 1 << 20


def copy_tree(source: str, target: str, ids: IdMaps) -> None:
    """Copy `source` to `target`, which must not exist. Raises OSError, UnmappedId."""
    links: dict[tuple[int, int], str] = {}
    folders: list[tuple[str, os.stat_result]] = []
    for name, status in walk_tree(source):
        old, new = (os.path.join(top, name) if name else top for top in (source, target))
        key = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(new, 0o700)
            folders.append((name, status))
            continue
        if key in links:
            os.link(links[key], new, follow_symlinks=False)
            continue
        if status.st_nlink > 1:
            links[key] = new
        _copy_entry(old, new, status)
        _copy_attributes(old, new, status, ids)
    for name, status in reversed(folders):  # last, because new entries change the time of a folder
        old, new = (os.path.join(top, name) if name else top for top in (source, target))
        _copy_attributes(old, new, status, ids)


def find_differences(source: str, target: str, ids: IdMaps, shown: int = 5) -> list[str]:
    """Return how `target` differs from what `copy_tree` makes of `source`. Every byte and every attribute is read."""
    found: list[str] = []
    links: dict[tuple[int, int], int] = {}
    expected = {}
    for name, status in walk_tree(source):
        expected[name] = status
        old, new = (os.path.join(top, name) if name else top for top in (source, target))
        try:
            now = os.lstat(new)
        except FileNotFoundError:
            found.append(f"{new} is missing")
        else:
            what = _compare_entry(old, new, status, now, ids)
            if not what and status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                what = "" if links.setdefault((status.st_dev, status.st_ino), now.st_ino) == now.st_ino else "hard link"
            if what:
                found.append(f"{new}: its {what} differs from that of {old}")
        if len(found) >= shown:
            return found
    if os.path.lexists(target):
        found += [f"{os.path.join(target, name)} is not in the original" for name, _status in walk_tree(target) if name not in expected]
    return found[:shown]


def _copy_entry(old: str, new: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        _copy_data(old, new, status.st_size)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(old), new)
    else:  # devices (including whiteouts of overlays), pipes, sockets
        os.mknod(new, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev)


def _copy_attributes(old: str, new: str, status: os.stat_result, ids: IdMaps) -> None:
    """Copy owner, mode, extended attributes and times. chown clears setuid bits and capabilities (man 2 chown), so it is first."""
    os.chown(new, ids.map_uid(status.st_uid), ids.map_gid(status.st_gid), follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(new, stat.S_IMODE(status.st_mode))
    for key, value in _read_xattrs(old, ids).items():
        os.setxattr(new, key, value, follow_symlinks=False)
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _read_xattrs(path: str, ids: IdMaps | None) -> dict[str, bytes]:
    found = {}
    for key in os.listxattr(path, follow_symlinks=False):
        if key not in _NOT_COPIED:
            value = os.getxattr(path, key, follow_symlinks=False)
            found[key] = ids.map_acl(value) if ids and key in ACLS else value
    return found


def _compare_entry(old: str, new: str, was: os.stat_result, now: os.stat_result, ids: IdMaps) -> str:
    checks = (
        ("kind", stat.S_IFMT(was.st_mode), stat.S_IFMT(now.st_mode)),
        ("owner", (ids.map_uid(was.st_uid), ids.map_gid(was.st_gid)), (now.st_uid, now.st_gid)),
        ("mode", was.st_mode, now.st_mode),
        ("time", was.st_mtime_ns, now.st_mtime_ns),
        ("device", was.st_rdev, now.st_rdev),
    )
    for what, desired, found in checks:
        if desired != found:
            return what
    if stat.S_ISLNK(was.st_mode) and os.readlink(old) != os.readlink(new):
        return "target"
    if _read_xattrs(old, ids) != _read_xattrs(new, None):
        return "extended attributes"
    if stat.S_ISREG(was.st_mode) and (was.st_size != now.st_size or not _has_same_data(old, new)):
        return "content"
    return ""


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _copy_data(old: str, new: str, size: int) -> None:
    reader, writer = _open(old, os.O_RDONLY), -1
    try:
        writer = _open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.ftruncate(writer, size)
        for start, end in _list_extents(reader, size):
            at = start
            while at < end:
                chunk = os.pread(reader, min(_CHUNK, end - at), at)
                if not chunk:
                    raise OSError(f"{old} became shorter while it was copied; stop what writes to it")
                written = 0
                while written < len(chunk):
                    written += os.pwrite(writer, chunk[written:], at + written)
                at += len(chunk)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def _list_extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each range with data; between them are holes (man 2 lseek)."""
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole to the end
            return
        at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        yield start, at


def _has_same_data(old: str, new: str) -> bool:
    """Compare two files byte by byte where one of them has data; a hole reads as zeros."""
    one, other = _open(old, os.O_RDONLY), _open(new, os.O_RDONLY)
    try:
        size = os.fstat(one).st_size
        for descriptor in (one, other):
            for start, end in _list_extents(descriptor, size):
                for at in range(start, end, _CHUNK):
                    length = min(_CHUNK, end - at)
                    if os.pread(one, length, at) != os.pread(other, length, at):
                        return False
        return True
    finally:
        os.close(one)
        os.close(other)
