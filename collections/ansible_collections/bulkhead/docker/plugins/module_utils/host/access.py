# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes owner, group and mode of existing files, never through a link, and restores them.

/var/lib/bulkhead/files.json remembers of each file `before` and `after` ([uid, gid, mode]) and its inode, before the first file is changed. So an
interrupted run can be repeated, and what was changed since is not restored.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import state
from .root import Host

SUBJECT = "files"


@dataclass
class AccessStep:
    """One file. now, then: [uid, gid, mode]. skipped: why it is not changed; empty otherwise."""

    path: str
    now: list[int] = field(default_factory=list)
    then: list[int] = field(default_factory=list)
    skipped: str = ""

    @property
    def changed(self) -> bool:
        return self.now != self.then and not self.skipped


def apply_accesses(host: Host, desired: Sequence[Mapping[str, Any]], restore: Sequence[str], check: bool) -> list[AccessStep]:
    """Change the files of `desired` (path, uid, gid, mode) and restore those of `restore`. check: change nothing.

    No file gets a permission that it does not have, except by restoring it. Raises BlockingIOError, OSError, ValueError.
    """
    if check:
        return _apply(host, desired, restore, check)
    with state.lock_host(host):
        return _apply(host, desired, restore, check)


def _apply(host: Host, desired: Sequence[Mapping[str, Any]], restore: Sequence[str], check: bool) -> list[AccessStep]:
    managed = dict(state.load(host, SUBJECT).get("files", {}))
    steps, inodes = [], {}
    for entry in desired:
        step, inodes[entry["path"]] = _plan_change(host, entry)
        steps.append(step)
        if step.changed:
            known = managed.get(step.path)
            before = known["before"] if known and known["after"] == step.now else step.now
            managed[step.path] = {"before": before, "after": step.then, "inode": inodes[step.path]}
    if not check:
        _save(host, managed)
    restored = [_plan_restoring(host, path, managed[path]) for path in restore if path in managed]
    for step in [] if check else [*steps, *restored]:
        if step.changed:
            _change(host, step)
    if not check and restored:
        failed = {step.path for step in restored if step.skipped and step.now != step.then}
        _save(host, {path: known for path, known in managed.items() if path not in restore or path in failed})
    return [*steps, *restored]


def _save(host: Host, managed: Mapping[str, Any]) -> None:
    if managed or state.load(host, SUBJECT):
        state.save(host, SUBJECT, {"files": dict(managed)} if managed else {})


def _plan_change(host: Host, entry: Mapping[str, Any]) -> tuple[AccessStep, int]:
    """Return the step for one file, and its inode."""
    step = AccessStep(entry["path"])
    try:
        with open_unfollowed(host, step.path) as descriptor:
            status = os.fstat(descriptor)
            step.now = [status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)]
            step.then = [entry["uid"], entry["gid"], step.now[2] & entry["mode"]]
            if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
                step.skipped = f"it has {status.st_nlink} hard links"
            elif step.then[0] not in (0, step.now[0]):  # a user can have put another file in its place since it was observed
                step.skipped = f"it is owned by user {step.now[0]}, and no file is given to an ordinary user"
            return step, status.st_ino
    except OSError as error:
        step.skipped = error.strerror or str(error)
        return step, 0


def _plan_restoring(host: Host, path: str, known: Mapping[str, Any]) -> AccessStep:
    """Return the step that restores a file; without a change if it is not as this collection left it. A new socket is another one."""
    step = AccessStep(path)
    try:
        with open_unfollowed(host, path) as descriptor:
            status = os.fstat(descriptor)
            step.now = step.then = [status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)]
            if step.now == known["after"] and not (stat.S_ISSOCK(status.st_mode) and status.st_ino != known["inode"]):
                step.then = list(known["before"])
    except OSError as error:
        step.skipped = error.strerror or str(error)
    return step


def _change(host: Host, step: AccessStep) -> None:
    """Change one file. The owner first: then only the new owner can change the mode (man 2 chown: it clears set-user-ID bits)."""
    try:
        with open_unfollowed(host, step.path) as descriptor:
            place = f"/proc/self/fd/{descriptor}"  # of exactly this file, a socket included (man 2 open, O_PATH)
            if step.now[:2] != step.then[:2]:
                os.chown(place, *step.then[:2])
            os.chmod(place, step.then[2])
    except OSError as error:
        step.skipped = error.strerror or str(error)


@contextmanager
def open_unfollowed(host: Host, path: str) -> Iterator[int]:
    """Open a path for its owner and mode alone, each folder of it without following a link. Raises OSError, also for a link.

    Below a user's home it is opened with that user's rights, and has to be the user's.
    """
    descriptor = os.open(host.root, os.O_PATH | os.O_DIRECTORY)
    try:
        names = path.strip("/").split("/")
        with host.as_owner(path) as owner:
            for number, name in enumerate(names, 1):
                flags = os.O_PATH | os.O_NOFOLLOW | (os.O_DIRECTORY if number < len(names) else 0)
                inner = os.open(name, flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
        status = os.fstat(descriptor)
        if stat.S_ISLNK(status.st_mode):
            raise OSError(40, "it is a symbolic link", path)
        if owner and status.st_uid != owner.uid:
            raise OSError(1, f"it is owned by user {status.st_uid}, but is in the home of user {owner.uid}", path)
        yield descriptor
    finally:
        os.close(descriptor)
