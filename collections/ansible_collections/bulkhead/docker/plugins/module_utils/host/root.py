# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that an observation reads: its file system, seen from a root that tests can move."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATE_DIR = "/var/lib/bulkhead"


@dataclass(frozen=True)
class Owner:
    """A folder whose content is a user's: home, and the IDs to be taken while something below it is touched."""

    folder: str
    uid: int
    gid: int


@dataclass
class Host:
    """Read access to one host.

    root: where its file system begins; "/" on a real host, a folder of fixtures in tests.
    owners: folders in which users may plant links and pipes; root acts there with the rights of their owner (`as_owner`).
    """

    root: Path = Path("/")
    owners: tuple[Owner, ...] = ()

    def path(self, absolute: str) -> Path:
        """`/etc/subuid` as it is on this host."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str, limit: int = 4 << 20, whose: Owner | None = None) -> str | None:
        """The text of a file (at most `limit` bytes, UTF-8 with odd bytes kept as surrogates); None when there is no such file.

        whose: the user who has named the file, wherever it is; it is read with his rights. Raises OSError for everything else that keeps
        it from being read (a directory, a pipe, no permission). Below a user's folder, and of what he has named, only a regular file is
        read; below his folder no link in its place is followed.
        """
        try:
            with (
                self.as_owner(absolute, whose) as owner,
                open(self.path(absolute), "rb", buffering=0, opener=_opener(owner is not None, self.owner(absolute) is None)) as handle,
            ):
                # In small steps: for /proc/sys the kernel allocates as much as is asked for, and has ENOMEM for 4 MiB (fs/proc/proc_sysctl.c).
                chunks = []
                while limit > 0 and (chunk := handle.read(min(limit, 1 << 16))):
                    chunks.append(chunk)
                    limit -= len(chunk)
                return b"".join(chunks).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None

    def owner(self, absolute: str) -> Owner | None:
        """Whose folder a path is in; None outside of users' folders."""
        return next((owner for owner in self.owners if absolute.startswith(f"{owner.folder}/")), None)

    @contextmanager
    def as_owner(self, absolute: str, whose: Owner | None = None) -> Iterator[Owner | None]:
        """Touch a path with its owner's rights (`whose`, where he is given) and no others: whatever he has planted on the way leads only
        where he could go himself."""
        owner = whose or self.owner(absolute)
        if owner is None or os.geteuid() != 0:
            yield owner
            return
        group, groups = os.getegid(), os.getgroups()
        os.setgroups([])
        os.setegid(owner.gid)
        os.seteuid(owner.uid)
        try:
            yield owner
        finally:
            os.seteuid(0)
            os.setegid(group)
            os.setgroups(groups)


def _opener(regular: bool, follow: bool) -> Callable[[str, int], int]:
    """For `open()`: never held up by a pipe; `regular`: nothing else either that blocks or acts when it is opened; `follow`: a link."""

    def opened(path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or (regular and not stat.S_ISREG(mode)):
            os.close(descriptor)
            raise OSError(22, "is no regular file", path)
        return descriptor

    return opened
