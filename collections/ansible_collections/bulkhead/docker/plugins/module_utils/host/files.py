# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing files so that a reader, or a power cut, sees the old text or the new one and nothing between."""

from __future__ import annotations

import glob
import hashlib
import os
import tempfile
from pathlib import Path

_SUFFIX = ".bulkhead"


def sha256(text: str) -> str:
    """Hex digest of a text read by `Host.read` (surrogates stand for the bytes that were not UTF-8)."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make a rename or removal in this folder survive a power cut (man 2 fsync: the directory needs one of its own)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
    """Replace `path` by `text`, on disk before it takes the name.

    An existing regular file keeps its own mode and owner; `mode` (permission bits) and `owner` (uid, gid) are for a new one.
    Where `path` is a symbolic link, the file it points at is replaced and the link stays. Raises OSError; then the old file is untouched.
    What a run that died was about to put there is taken away; the caller sees to it that no other run is at it.
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
