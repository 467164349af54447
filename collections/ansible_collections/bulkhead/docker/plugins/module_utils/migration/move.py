# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying all that an engine holds into its remapped root, with the engine out of the way: no second one is ever started.

What is carried are the files of the root, as the engine keeps them, with the owners that containers see mapped. So everything keeps its ID:
images, containers with what they wrote and logged, named and anonymous volumes, networks. The old root is only read, and stays whole until
`finalize`.

A run that dies leaves `.bulkhead-UID.GID` beside the roots. The next one holds each piece there against the original, byte for byte, keeps
what is right, and takes its name UID.GID only when all of it is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from ..engine import binary
from ..host import state
from ..host.files import fsync_folder
from ..host.root import Host
from ..subid.accounts import read_accounts, read_subid_files
from ..subid.mapping import parse_remap_user, prefers_numeric_owner
from ..subid.ranges import build_engine_map
from . import layout, tree
from .ids import Ids

SUBJECT = "migration"
# Beside the data, a file system needs room for the folders and links that are made anew.
_SPARE = 1.05
_SHOWN = 5
# How often it is looked, a second apart, before what is wrong in a root in use is taken for damage.
_LOOKS = 5
_TRACED = (
    "tmp", "runtimes", "buildkit", "containers", "volumes", "volumes/metadata.db", "network/files/local-kv.db",
    f"image/{layout.DRIVER}/repositories.json",
)  # fmt: skip

_Found = TypeVar("_Found")


class Refused(ValueError):
    """It can't be carried, and nothing was begun; one sentence a reason."""


class Move:
    """One engine's way from its plain root to the remapped one. `prepare` with the engine running, `carry` with it stopped."""

    def __init__(self, host: Host, ids: Ids, leave: frozenset[str] = frozenset()) -> None:
        self.host, self.ids, self.leave = host, ids, leave
        self.source = self.target = self.draft = Path()
        self.bytes = 0
        self._held: set[str] = set()  # pieces that never change and were held against the original in this run

    @property
    def root(self) -> str:
        """The engine's root to come."""
        return "/" + str(self.target.relative_to(self.host.root))

    def prepare(self, info: dict[str, Any], orphans: Iterable[str] = ()) -> None:
        """Refuse what can't be carried, and carry the layers of images, which never change, while containers still run.

        info: the engine's `/info`. orphans: IDs of containers that run without the engine knowing it.
        Raises Refused, OSError, ValueError; then there is nothing left of it.
        """
        uid, gid = self.ids.root
        self.source = self.host.path(info["DockerRootDir"])
        self.target, self.draft = self.source / f"{uid}.{gid}", self.source / f".bulkhead-{uid}.{gid}"
        problems = [*_of_engine(info, orphans), *self._of_target()]
        if problems:
            raise Refused("; ".join(problems))
        self._refuse_unfit()
        try:
            self._lay_out()
            for piece in layout.image_layers(self.source):
                self._carry(piece)
                self._held.add(piece.name)
        except BaseException:
            shutil.rmtree(self.draft, ignore_errors=True)
            raise

    def carry(self) -> None:
        """Carry everything, hold it against the original, and give it its name. Raises OSError, ValueError; then nothing is left of it."""
        try:
            self._lay_out()
            pieces = layout.pieces(self.source)
            self._clear(pieces)
            for piece in pieces:
                self._carry(piece)
            self._link_layers()
            for name, configuration, _unused in layout.definitions(self.source):
                text = json.dumps(layout.moved(configuration, self._own(self.source), self._own(self.target)), ensure_ascii=False)
                _write(self.draft / "containers" / name / "config.v2.json", text)
        except Exception:
            shutil.rmtree(self.draft, ignore_errors=True)
            raise
        os.sync()  # all of it on disk before it has the name that an engine looks for
        state.save(self.host, SUBJECT, self._memory())
        os.rename(self.draft, self.target)
        fsync_folder(self.source)

    def _memory(self) -> dict[str, Any]:
        paths = {"source": self._own(self.source), "target": self._own(self.target)}
        return {**paths, "at": time.time(), "bytes": self.bytes, "left": trace(self.source)}

    def _own(self, path: Path) -> str:
        """The path as the host calls it."""
        return "/" + str(path.relative_to(self.host.root))

    # --- what stands in the way ---

    def _of_target(self) -> list[str]:
        if not self.target.exists():
            return []
        if is_empty(self.target):
            shutil.rmtree(self.target)
            return []
        known = state.load(self.host, SUBJECT)
        if known.get("target") == self._own(self.target) and not has_run(self.target):
            # A run died between the last two steps. What containers wrote in the old root since is found piece by piece.
            shutil.rmtree(self.draft, ignore_errors=True)
            self.target.rename(self.draft)
            return []
        return [
            f"{self._own(self.target)} has been an engine's root already, and holds {count(self.target)}; go there as it is with"
            " userns_remap_existing_data: hide, or move it away first"
        ]

    def _refuse_unfit(self) -> None:
        """What can be known only by reading: containers that would not start, owners without a place, a disk that is too small."""
        problems, survey = [], tree.Survey()
        for path in layout.linked_volumes(self.source):
            problems.append(
                f"{self._own(path)} is a symbolic link to {os.readlink(path)}, and what is there would keep its owners; put that folder in its place, or"
                " make a volume that mounts it (docker volume create --opt type=none --opt o=bind --opt device=FOLDER)"
            )
        for name, configuration, host_configuration in _settled(lambda: list(layout.definitions(self.source))):
            why = layout.refused_under_remap(configuration, host_configuration)
            called = configuration.get("Name", name).lstrip("/")
            if why and called not in self.leave:
                problems.append(
                    f"container {called} has {why}, which the engine refuses under userns-remap; recreate it with --userns=host, or name it in"
                    " userns_remap_migrate_accept, and it is carried and stays stopped"
                )
        mounted = {line.split()[4] for line in (self.host.read("/proc/self/mountinfo") or "").splitlines()}
        for part in (part for piece in _settled(lambda: layout.pieces(self.source)) for part in piece.parts):
            if str(self.source / part.path) in mounted and layout.mounts(self.source, part.path):
                continue  # no file of the root's: it is gone when all has stopped
            survey.add(str(self.source / part.path), self.ids if part.content else _HOST)
        self.bytes = survey.bytes
        if survey.unmapped:
            problems.append(
                f"owners that the new root's IDs have no place for: {', '.join(survey.unmapped)}; raise userns_remap_range_size, or give"
                " these files another owner"
            )
        done = _size(self.draft) if self.draft.exists() else 0
        disk = os.statvfs(self.source)
        if survey.bytes * _SPARE - done > disk.f_bavail * disk.f_frsize:
            problems.append(
                f"{self._own(self.source)} holds {survey.bytes >> 20} MiB to carry and has {(disk.f_bavail * disk.f_frsize) >> 20} MiB free;"
                " make room, or remove what is no longer needed (docker system prune)"
            )
        if disk.f_files and survey.inodes * _SPARE > disk.f_favail:
            problems.append(f"{survey.inodes} files are to be carried, and the file system has {disk.f_favail} inodes free")
        if problems:
            raise Refused("; ".join(problems))

    # --- carrying ---

    def _lay_out(self) -> None:
        _uid, gid = self.ids.root
        for path, mode in (
            ("", 0o710),
            (layout.DRIVER, 0o710),
            (f"{layout.DRIVER}/l", 0o700),
            ("containers", 0o710),
            ("volumes", 0o701),
            ("image", 0o700),
            ("network", 0o750),
        ):
            folder = self.draft / path
            folder.mkdir(exist_ok=True)
            os.chown(folder, os.geteuid(), gid if mode == 0o710 else os.getegid())
            folder.chmod(mode)

    def _clear(self, pieces: Iterable[layout.Piece]) -> None:
        """Take away what an earlier run carried and what is no longer there."""
        desired = {piece.folder for piece in pieces if piece.folder}
        for kind in (layout.DRIVER, "containers", "volumes"):
            for entry in (self.draft / kind).iterdir():
                if f"{kind}/{entry.name}" not in desired and entry.name != "l":
                    _remove(entry)

    def _carry(self, piece: layout.Piece) -> None:
        if piece.name in self._held or self._is_there(piece):
            return
        if piece.folder:
            _remove(self.draft / piece.folder)
            _folder(self.draft / piece.folder, piece.mode, (os.geteuid(), self.ids.gid(0) if piece.mode & 0o070 else os.getegid()))
        for part in piece.parts:
            _remove(self.draft / part.path)
            tree.copy(str(self.source / part.path), str(self.draft / part.path), self.ids if part.content else _HOST)
        if piece.made:
            name, mode, inside = piece.made
            owner = self.ids.root if inside else (os.geteuid(), self.ids.gid(0))
            _folder(self.draft / piece.folder / name, mode, owner)
        wrong = self._wrong(piece)
        if wrong:
            raise ValueError(f"{piece.name} was carried and is not what it was: {'; '.join(wrong)}; the old root is as it was")

    def _is_there(self, piece: layout.Piece) -> bool:
        top = self.draft / (piece.folder or piece.parts[0].path)
        made = not piece.made or (self.draft / piece.folder / piece.made[0]).is_dir()
        return top.exists() and made and not self._wrong(piece)

    def _wrong(self, piece: layout.Piece) -> list[str]:
        found: list[str] = []
        for part in piece.parts:
            ids = self.ids if part.content else _HOST
            found += tree.differences(str(self.source / part.path), str(self.draft / part.path), ids, _SHOWN)
        return found[:_SHOWN]

    def _link_layers(self) -> None:
        links = self.draft / layout.DRIVER / "l"
        for entry in links.iterdir():
            entry.unlink()
        for name in layout.layers(self.source):
            (links / layout.link(self.source, name)).symlink_to(f"../{name}/diff")


def move_for(host: Host, setting: str | None, leave: frozenset[str]) -> Move:
    """The move to the root of a `userns-remap` setting, whose user has its ranges already. Raises ValueError, OSError."""
    user = parse_remap_user(setting or "")[0]
    dockerd = binary.find_dockerd()
    first = prefers_numeric_owner(binary.read_version(dockerd) if dockerd else None)
    accounts = read_accounts(host)
    found = []
    for file in read_subid_files(host):
        rows = build_engine_map(file, user, accounts.uids.get(user), first)
        if not rows:
            raise Refused(f"{file.path} has no range of {user or 'anybody'}; give the user one first (role userns_remap)")
        found.append(rows)
    return Move(host, Ids(*found), leave)


class _Same(Ids):
    """The engine's own files keep their owners."""

    def uid(self, number: int) -> int:
        return number

    def gid(self, number: int) -> int:
        return number


_HOST = _Same((), ())


def _settled(look: Callable[[], _Found]) -> _Found:
    """What is found in a root whose engine runs: a container or volume that is half made or half removed is given a moment to be one or the
    other. Raises FileNotFoundError, ValueError for what stays as it is."""
    for _attempt in range(_LOOKS):
        try:
            return look()
        except (FileNotFoundError, ValueError):
            time.sleep(1)
    return look()


def _of_engine(info: dict[str, Any], orphans: Iterable[str]) -> list[str]:
    found = []
    if any("name=userns" in option for option in info.get("SecurityOptions") or []):
        found.append("the engine is remapped already, and only a plain root can be carried; write userns_remap_existing_data: hide")
    store = dict(pair for pair in info.get("DriverStatus") or [] if len(pair) == 2)
    if info.get("Driver") != layout.DRIVER or "driver-type" in store:
        found.append(
            f"the engine keeps images with {info.get('Driver')}, and only {layout.DRIVER} can be carried; write"
            " userns_remap_existing_data: hide, and bring the images over by docker save and docker load"
        )
    if (info.get("Swarm") or {}).get("LocalNodeState") not in (None, "", "inactive"):
        found.append(
            "this is a swarm node, whose services the swarm places itself: drain it, let it leave, and let it join anew afterwards"
        )
    plugins = [name for kind, names in (info.get("Plugins") or {}).items() for name in names or [] if ":" in name and kind]
    if plugins:
        found.append(f"managed plugins can't be carried: {', '.join(plugins)}; remove them, and install them anew afterwards")
    orphaned = [identifier[:12] for identifier in orphans]
    if orphaned:
        found.append(f"containers run that the engine does not know: {', '.join(orphaned)}; end them with `ctr -n moby tasks kill` first")
    return found


def has_run(root: Path) -> bool:
    """Whether an engine has ever run with this root: it makes its build cache's folder at every start, and we never carry one."""
    return (root / "buildkit").exists()


def trace(root: Path) -> dict[str, int]:
    """By which times (st_mtime_ns) it is seen whether an engine has worked in a root since: every one makes `tmp` and `runtimes` anew when it
    starts (moby daemon/daemon.go, prepareTempDir; daemon/runtime_unix.go, initRuntimesDir), and the others change with what it holds."""
    return {name: os.lstat(root / name).st_mtime_ns for name in _TRACED if os.path.lexists(root / name)}


def is_empty(root: Path) -> bool:
    """Whether a root holds nothing of anybody: no image, container, volume or network. What can't be told is not empty."""
    try:
        if any(_here(root).values()):
            return False
        networks = root / "network" / "files" / "local-kv.db"
        text = networks.read_bytes() if networks.exists() else b""
    except OSError:
        return False
    # The store is a bolt file whose pages hold a key, eight bytes of a counter, and JSON; a page that was given back may still name a network
    # that is gone, which then counts as one that is there.
    names = set(re.findall(rb'docker/network/v1\.0/network/[0-9a-f]{64}/.{8}\{.{0,4000}?"name":"([^"]*)"', text, re.DOTALL))
    return not text or (bool(names) and names <= {b"host", b"none", b"bridge"})


def _here(root: Path) -> dict[str, int]:
    images = sum(1 for _path in root.glob("image/*/imagedb/content/sha256/*"))
    return {"images": images, "containers": len(layout.containers(root)), "volumes": len(layout.volumes(root))}


def count(root: Path) -> str:
    """What a root holds, in words."""
    return ", ".join(f"{number} {kind}" for kind, number in _here(root).items())


def _size(folder: Path) -> int:
    return sum(os.lstat(os.path.join(top, name)).st_blocks * 512 for top, _folders, names in os.walk(folder) for name in names)


def _folder(path: Path, mode: int, owner: tuple[int, int]) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, *owner)
    path.chmod(mode)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as handle:
        handle.write(text)
