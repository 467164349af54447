# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes several files as one, and records each step before it is done, so that this run or the next can undo it.

/var/lib/bulkhead/transactions/ID/ has `journal.json` and a copy of each previous file (`0`, `1`, …), for root alone. A journal is `open`
from before the first change until everything is checked; then it is `committed` or `undone`. An open journal belongs to an interrupted run
and is undone first. It is `left` when its files were edited since and the engine works with them.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..engine.records import COMMITTED, LEFT, OPEN, UNDONE, get_base, read_journals
from ..host.files import fsync_folder, write_atomically
from ..host.root import Host, sha256

_KEPT = 5


class Transaction:
    """One change. `begin` copies the files, `write` and `remove` change them; `commit`, or `restore` and `mark_undone`, end it."""

    def __init__(self, host: Host, folder: Path, journal: dict[str, Any]) -> None:
        self.host, self.folder, self.journal = host, folder, journal

    @property
    def id(self) -> str:
        return self.folder.name

    @classmethod
    def begin(cls, host: Host, paths: Iterable[str], facts: Mapping[str, Any]) -> Transaction:
        """Copy the files at `paths`, which may be missing, and open a journal. facts: what undoing needs to know."""
        base = get_base(host)
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = _create_folder(base)
        journal: dict[str, Any] = {"state": OPEN, "started": time.time(), "files": [], "folders": [], "steps": [], "facts": dict(facts)}
        for number, path in enumerate(paths):
            journal["files"].append(_copy_file(host, path, folder / str(number)))
        transaction = cls(host, folder, journal)
        transaction._save()
        fsync_folder(base)
        return transaction

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Replace one of the transaction's files. Raises OSError; the file is then unchanged."""
        entry, target = self._find_entry(path), self.host.path(path)
        with self.host.as_owner(path):
            missing = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
        self.journal["folders"] += ["/" + str(folder.relative_to(self.host.root)) for folder in missing]
        entry["wrote"] = sha256(text)
        self._save()
        with self.host.as_owner(path):
            if missing:
                target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomically(target, text, mode, (os.geteuid(), os.getegid()))

    def remove(self, path: str) -> None:
        """Remove one of the transaction's files, and the drop-in folder that it leaves empty."""
        entry, target = self._find_entry(path), self.host.path(path)
        entry["wrote"] = None
        self._save()
        with self.host.as_owner(path):
            file = target.resolve()  # a link stays, as it does when its file is written
            if file.exists():
                file.unlink()
                fsync_folder(file.parent)
            if target.parent.name.endswith(".d"):
                _remove_empty(target.parent)

    def record_step(self, name: str) -> None:
        """Record a step that follows and is not a file (`restart`, `daemon-reload`)."""
        self.journal["steps"].append(name)
        self._save()

    def has_step(self, name: str) -> bool:
        """Return whether a step was begun."""
        return name in self.journal["steps"]

    def commit(self) -> None:
        """End a successful change. `after` in the journal has the digests of its files, to detect later edits."""
        # Digests of what was written, not of what is there: they may have been edited after an interruption.
        self.journal["after"] = {
            entry["path"]: entry["wrote"] if "wrote" in entry else _hash_file(self.host.read(entry["path"]))
            for entry in self.journal["files"]
        }
        self._end(COMMITTED)
        _prune(self.folder.parent)

    def restore(self) -> list[str]:
        """Restore all files with mode, owner and time, and return the paths that differed. The journal stays open."""
        differing = []
        for entry in self.journal["files"]:
            content = (self.folder / entry["copy"]).read_text(encoding="utf-8", errors="surrogateescape") if entry["existed"] else None
            with self.host.as_owner(entry["path"]):
                if _restore_file(self.host.path(entry["path"]), entry, content):
                    differing.append(entry["path"])
        for folder in self.journal["folders"]:
            with self.host.as_owner(folder):
                _remove_empty(self.host.path(folder))
        return differing

    def list_edited(self) -> list[str]:
        """Return the files that are neither as before nor as this change wrote them, so edited since."""
        before = self.read_copies()
        return [
            entry["path"]
            for entry in self.journal["files"]
            if (text := self.host.read(entry["path"])) is not None and text != before[entry["path"]] and sha256(text) != entry.get("wrote")
        ]

    def copy_edited(self) -> dict[str, Path]:
        """Copy the edited files into the journal's folder, with mode and owner. Returns path → copy."""
        copies = {}
        for path in self.list_edited():
            name = f"edited-{len(list(self.folder.glob('edited-*')))}"
            entry = _copy_file(self.host, path, self.folder / name)
            if not entry["existed"]:
                continue
            os.chown(self.folder / name, entry["uid"], entry["gid"])
            os.chmod(self.folder / name, entry["mode"])
            self.journal.setdefault("kept", []).append({**entry, "copy": name})
            self._save()
            copies[path] = self.folder / name
        return copies

    def read_copies(self) -> dict[str, str | None]:
        """Return path → text before the change, None for a file that did not exist."""
        return {
            entry["path"]: (self.folder / entry["copy"]).read_text("utf-8", "surrogateescape") if entry["existed"] else None
            for entry in self.journal["files"]
        }

    def mark_undone(self) -> None:
        """End a change whose previous state is restored."""
        self._end(UNDONE)

    def mark_left(self) -> None:
        """End an interrupted change without restoring anything."""
        self._end(LEFT)

    def _find_entry(self, path: str) -> dict[str, Any]:
        for entry in self.journal["files"]:
            if entry["path"] == path:
                return entry
        raise ValueError(f"{path} was not part of the transaction when it began")

    def _end(self, state: str) -> None:
        self.journal["state"] = state
        self.journal["ended"] = time.time()
        self._save()

    def _save(self) -> None:
        write_atomically(self.folder / "journal.json", json.dumps(self.journal, indent=1) + "\n", 0o600, (os.geteuid(), os.getegid()))


def _hash_file(text: str | None) -> str | None:
    return None if text is None else sha256(text)


def _restore_file(target: Path, entry: Mapping[str, Any], content: str | None) -> bool:
    """Restore one file and return whether it differed. content: None when it did not exist."""
    if content is None:
        differs = target.exists()
        if differs:
            target.resolve().unlink()
            fsync_folder(target.resolve().parent)
        return differs
    differs = not target.exists() or target.read_text(encoding="utf-8", errors="surrogateescape") != content
    if differs:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomically(target, content, entry["mode"], (os.geteuid(), os.getegid()))
    os.chown(target, entry["uid"], entry["gid"])
    os.chmod(target, entry["mode"])
    os.utime(target, ns=(entry["mtime_ns"], entry["mtime_ns"]))
    return differs


def list_open(host: Host) -> list[Transaction]:
    """Return the interrupted changes, the newest first: undone in this order, the oldest state is restored."""
    return [Transaction(host, folder, journal) for folder, journal in read_journals(host) if journal.get("state") == OPEN]


def list_ended(host: Host) -> list[Transaction]:
    """Return the changes that are committed, undone or left, the newest first."""
    return [Transaction(host, folder, journal) for folder, journal in read_journals(host) if journal.get("state") != OPEN]


def _create_folder(base: Path) -> Path:
    """Create a folder named after the time. Its name sorts after all others, even when the clock was set back."""
    now, latest = time.time(), max((entry.name for entry in base.iterdir()), default="")
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}"
    folder = base / (name if name > latest else f"{latest}1")
    folder.mkdir(mode=0o700)
    return folder


def _copy_file(host: Host, path: str, copy: Path) -> dict[str, Any]:
    """Copy one file and return its journal entry. A symbolic link is followed, because a change replaces its target."""
    source = host.path(path)
    try:
        with host.as_owner(path):
            status, content = source.stat(), source.read_bytes()
    except FileNotFoundError:
        return {"path": path, "existed": False}
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    return {
        "path": path,
        "existed": True,
        "copy": copy.name,
        "mode": status.st_mode & 0o7777,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime_ns": status.st_mtime_ns,
    }


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty, or gone
        folder.rmdir()


def _prune(base: Path) -> None:
    """Remove ended transactions but the last five. One with a copy of an edited file is never removed."""
    ended = []
    for folder in sorted(base.iterdir(), reverse=True):
        try:
            journal = json.loads((folder / "journal.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            ended.append(folder)
            continue
        if journal.get("state") != OPEN and not journal.get("kept"):
            ended.append(folder)
    for folder in ended[_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
