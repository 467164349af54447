# SPDX-License-Identifier: GPL-3.0-or-later
"""Several files changed as one: written down before it is done, so that it can be undone in this run or by the next.

/var/lib/bulkhead/transactions/ID/ holds `journal.json` and a copy of each file as it was (`0`, `1`, …), root's alone. A journal is
`open` from before the first change until everything has been probed; then it is `committed`, or `undone`. An open journal that a
run finds was left by one that died, and is undone first; where somebody has edited its files since and the engine works with that, it
is `left`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..host.files import fsync_folder, sha256, write_atomically
from ..host.root import STATE_DIR, Host

OPEN, COMMITTED, UNDONE, LEFT = "open", "committed", "undone", "left"
_KEPT = 5


class Transaction:
    """One change. `begin` copies the files; `write` and `remove` change them; `commit` or `undo` ends it."""

    def __init__(self, host: Host, folder: Path, journal: dict[str, Any]) -> None:
        self.host, self.folder, self.journal = host, folder, journal

    @property
    def id(self) -> str:
        return self.folder.name

    @classmethod
    def begin(cls, host: Host, paths: Iterable[str], facts: Mapping[str, Any]) -> Transaction:
        """Copy `paths` as they are now (missing ones included) and open a journal; `facts` is what undoing will need to know."""
        base = _base(host)
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = _new_folder(base)
        journal: dict[str, Any] = {"state": OPEN, "started": time.time(), "files": [], "folders": [], "steps": [], "facts": dict(facts)}
        for number, path in enumerate(paths):
            journal["files"].append(_saved(host, path, folder / str(number)))
        transaction = cls(host, folder, journal)
        transaction._save()
        fsync_folder(base)
        return transaction

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a text in the place of one of the transaction's files. Raises OSError; then this file is as it was."""
        entry, target = self._entry(path), self.host.path(path)
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
        """Take one of the transaction's files away, and the folder that it leaves empty if it is a drop-in's."""
        entry, target = self._entry(path), self.host.path(path)
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
        """Write down that something is about to be done that is no file (`restart`, `daemon-reload`)."""
        self.journal["steps"].append(name)
        self._save()

    def has_step(self, name: str) -> bool:
        return name in self.journal["steps"]

    def commit(self) -> None:
        """Everything holds: from here on no run undoes this by itself. `after` tells whether the files are still as it left them."""
        # What we wrote, and not what is there: of a run that died before this, somebody may have edited it since.
        self.journal["after"] = {
            entry["path"]: entry["wrote"] if "wrote" in entry else _digest(self.host.read(entry["path"])) for entry in self.journal["files"]
        }
        self._end(COMMITTED)
        _prune(self.folder.parent)

    def restore(self) -> list[str]:
        """Put all files back as they were, with mode, owner and time. Returns the paths that differed. The journal stays open."""
        differing = []
        for entry in self.journal["files"]:
            content = (self.folder / entry["copy"]).read_text(encoding="utf-8", errors="surrogateescape") if entry["existed"] else None
            with self.host.as_owner(entry["path"]):
                if _put_back(self.host.path(entry["path"]), entry, content):
                    differing.append(entry["path"])
        for folder in self.journal["folders"]:
            with self.host.as_owner(folder):
                _remove_empty(self.host.path(folder))
        return differing

    def list_edited(self) -> list[str]:
        """The files that are neither as they were before nor as we wrote them: somebody else has changed them since."""
        before = self.read_copies()
        return [
            entry["path"]
            for entry in self.journal["files"]
            if (now := self.host.read(entry["path"])) is not None and now != before[entry["path"]] and sha256(now) != entry.get("wrote")
        ]

    def copy_edited(self) -> dict[str, Path]:
        """Copy them beside the journal, with mode and owner, before `restore` replaces them. Path → copy."""
        kept = {}
        for path in self.list_edited():
            name = f"edited-{len(list(self.folder.glob('edited-*')))}"
            entry = _saved(self.host, path, self.folder / name)
            if not entry["existed"]:
                continue
            os.chown(self.folder / name, entry["uid"], entry["gid"])
            os.chmod(self.folder / name, entry["mode"])
            self.journal.setdefault("kept", []).append({**entry, "copy": name})
            self._save()
            kept[path] = self.folder / name
        return kept

    def read_copies(self) -> dict[str, str | None]:
        """The files as they were before: path → text, None where there was none."""
        return {
            entry["path"]: (self.folder / entry["copy"]).read_text("utf-8", "surrogateescape") if entry["existed"] else None
            for entry in self.journal["files"]
        }

    def mark_undone(self) -> None:
        """The previous state is back."""
        self._end(UNDONE)

    def mark_left(self) -> None:
        """Somebody has taken over what a run that died left; nothing is put back."""
        self._end(LEFT)

    def _entry(self, path: str) -> dict[str, Any]:
        for entry in self.journal["files"]:
            if entry["path"] == path:
                return entry
        raise ValueError(f"{path} was not part of the transaction when it began")

    def _end(self, word: str) -> None:
        self.journal["state"] = word
        self.journal["ended"] = time.time()
        self._save()

    def _save(self) -> None:
        write_atomically(self.folder / "journal.json", json.dumps(self.journal, indent=1) + "\n", 0o600, (os.geteuid(), os.getegid()))


def _digest(text: str | None) -> str | None:
    return None if text is None else sha256(text)


def _put_back(target: Path, entry: Mapping[str, Any], content: str | None) -> bool:
    """One file as it was; whether it differed."""
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
    """The transactions that no run ended, the newest first: undone in that order, the oldest state comes back."""
    return [transaction for transaction in _all(host) if transaction.journal.get("state") == OPEN]


def list_ended(host: Host) -> list[Transaction]:
    """Those that are committed, undone or left, the newest first."""
    return [transaction for transaction in _all(host) if transaction.journal.get("state") != OPEN]


def _all(host: Host) -> Iterator[Transaction]:
    base = _base(host)
    for folder in sorted(base.iterdir(), reverse=True) if base.is_dir() else []:
        try:
            journal = json.loads((folder / "journal.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # died before its journal was there, so before it changed anything
        yield Transaction(host, folder, journal)


def _base(host: Host) -> Path:
    return host.path(f"{STATE_DIR}/transactions")


def _new_folder(base: Path) -> Path:
    """Named after the moment, and in any case so that it comes after all others: a clock may have been set back."""
    now, latest = time.time(), max((entry.name for entry in base.iterdir()), default="")
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}"
    folder = base / (name if name > latest else f"{latest}1")
    folder.mkdir(mode=0o700)
    return folder


def _saved(host: Host, path: str, copy: Path) -> dict[str, Any]:
    """Copy one file beside the journal. A symbolic link is followed: what is replaced is the file that it points at."""
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
    """Keep the last few ended transactions; they hold what stood there before. What somebody has edited is never removed."""
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
