# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads files of a host, below a root that tests can set, and what Bulkhead remembers (`state` writes it)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from zipimport import zipimporter

STATE_DIR = "/var/lib/bulkhead"
RECORDED, RECORDED_LIMIT = f"{STATE_DIR}/recorder/recorded.json", 512 << 20  # bytes
SECCOMP, APPARMOR = "seccomp", "apparmor"  # subjects of the remembered state
# Bytes. A larger file is an error, because what follows a cut would be lost.
LIMIT = 16 << 20


class _Importer(zipimporter):
    """Compiles a file once. Python's own compiles each one a first time to tell its name."""

    def get_filename(self, fullname: str) -> str:
        return f"{self.archive}/{self.prefix}{fullname.rpartition('.')[2]}{'/__init__' * self.is_package(fullname)}.py"


# Ansible sends a zip file. This is imported before most of it.
if hasattr(__spec__.loader, "archive"):
    sys.path_hooks.insert(0, _Importer)
    sys.path_importer_cache.clear()


class Owner(NamedTuple):
    """A user's home, and the IDs with which files below it are accessed."""

    folder: str
    uid: int
    gid: int


class Host:
    """A host.

    root: "/" on a real host, a folder of fixtures in tests.
    owners: in their homes they may create links and pipes; root accesses these with their rights (`as_owner`).
    """

    def __init__(self, root: Path = Path("/"), owners: tuple[Owner, ...] = ()) -> None:
        self.root, self.owners, self._prefix = root, owners, os.path.join(root, "")

    def path(self, absolute: str) -> Path:
        """Return the path of a file such as `/etc/subuid` below the root."""
        return Path(self.join(absolute))

    def join(self, absolute: str) -> str:
        """Return it as text: a Path costs more than many reads."""
        return self._prefix + absolute.lstrip("/")

    def read(self, absolute: str, limit: int = LIMIT, user: Owner | None = None) -> str | None:
        """Return the whole text of a file (bytes that are not UTF-8 become surrogates); None if it does not exist.

        user: who named the file, and with whose rights it is read. Raises OSError for any other error (a pipe, more than `limit` bytes).
        A user's file must be a regular one, and in the home no link.
        """
        try:
            with (
                self.as_owner(absolute, user) if user or self.owners else nullcontext() as owner,
                open(
                    self.join(absolute), "rb", buffering=0, opener=_build_opener(owner is not None, self.find_owner(absolute) is None)
                ) as handle,
            ):
                # In chunks: for /proc/sys the kernel allocates the requested size (fs/proc/proc_sysctl.c).
                content = bytearray()
                while chunk := handle.read(1 << 16):
                    content += chunk
                    if len(content) > limit:
                        raise OSError(errno.EFBIG, f"is larger than the limit of {limit} bytes and was not read", absolute)
                return content.decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None

    def read_link(self, absolute: str) -> str | None:
        """Return the target of a link; None if it cannot be read."""
        try:
            return os.readlink(self.join(absolute))
        except OSError:
            return None

    def find_owner(self, absolute: str) -> Owner | None:
        """Return the owner of the home that a path is in."""
        return next((owner for owner in self.owners if absolute.startswith(f"{owner.folder}/")), None)

    @contextmanager
    def as_owner(self, absolute: str, user: Owner | None = None) -> Iterator[Owner | None]:
        """Access a path with only its owner's (or `user`'s) rights, so that links lead nowhere else."""
        owner = user or self.find_owner(absolute)
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


def _build_opener(regular: bool, follow: bool) -> Callable[[str, int], int]:
    """Return an opener that never waits for a pipe. regular: accept only regular files. follow: follow links."""

    def open_file(path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or (regular and not stat.S_ISREG(mode)):
            os.close(descriptor)
            raise OSError(22, "is not a regular file", path)
        return descriptor

    return open_file


def sha256(text: str) -> str:
    """Return the hex digest of a text from `Host.read`."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_state(host: Host, subject: str) -> dict[str, Any]:
    """Return the state of `subject`; empty when none is saved. Raises ValueError when the file is damaged."""
    path = f"{STATE_DIR}/{subject}.json"
    text = host.read(path)
    if text is None:
        return {}
    try:
        state = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error}); restore it from a backup, or remove it and run the role again") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: is {type(state).__name__}, not an object; remove it and run the role again")
    return state


def load_managed_profiles(host: Host, kind: str) -> dict[str, dict[str, Any]]:
    """Return the managed profiles of a kind. Raises ValueError for a damaged file.

    SECCOMP: path -> `sha256` of the text, `replaced`, `made_folder`. APPARMOR: name -> `sha256`, `mode`, `hashes` of the loaded policy,
    `inputs`, `replaced`, `links` of the replaced file; an interrupted run leaves no `sha256`. `replaced`: path of the copy of an unmanaged file.
    """
    return dict(read_state(host, kind).get("profiles", {}))
