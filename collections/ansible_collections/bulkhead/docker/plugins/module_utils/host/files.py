# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes files atomically: a reader finds the old or the new text, also after a power cut."""

from __future__ import annotations

import glob
import os
import tempfile
from pathlib import Path

from .root import STATE_DIR, Host

_SUFFIX = ".bulkhead"


def ensure_folder(host: Host) -> Path:
    """Create /var/lib/bulkhead if necessary, readable by root alone, and return its path."""
    path = host.path(STATE_DIR)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def fsync_folder(folder: Path) -> None:
    """Make a rename or removal in this folder survive a power cut (man 2 fsync: a directory needs its own call)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
    """Replace the text of `path`.

    An existing file keeps its mode and owner; `mode` (permission bits) and `owner` (uid, gid) are for a new one. For a symbolic link, the target
    is replaced. Raises OSError; the file is then unchanged. Temporary files of interrupted runs are removed, so callers must hold a lock.
    """
    target = path.resolve() if path.is_symlink() else path
    try:
        status = target.stat()
        mode, owner = status.st_mode & 0o7777, (status.st_uid, status.st_gid)
    except FileNotFoundError:
        pass
    for left in target.parent.glob(f".{glob.escape(target.name)}.*{_SUFFIX}"):
        left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=_SUFFIX, dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(text.encode("utf-8", "surrogateescape"))
            os.fchown(handle.fileno(), *owner)
            os.fchmod(handle.fileno(), mode)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    fsync_folder(target.parent)
