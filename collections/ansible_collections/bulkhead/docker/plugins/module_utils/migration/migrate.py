# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrates an engine's data to its remapped root, without starting a second engine.

The files of the root are copied, and the owners that containers see are mapped. So everything keeps its ID: images, containers with their
files and logs, named and anonymous volumes, networks. The plain root is only read, and kept until `finalize`.

An interrupted run leaves `.bulkhead-UID.GID` next to the roots. The next run compares each piece there with the original, byte by byte,
keeps those that are equal, and renames the folder to UID.GID once it is complete.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from ..engine import program
from ..host import state
from ..host.data_root import find_other_entries
from ..host.files import fsync_folder
from ..host.root import Host
from ..subid.accounts import read_accounts
from ..subid.ranges import build_engine_map, read_subid_files
from ..subid.remap_user import parse_remap_user, prefers_numeric_owner
from . import layout, tree
from .ids import IdMaps
from .roots import SUBJECT, MigrationBlocked, describe_content, find_removal_problem, has_run, is_empty, read_traces

# New folders and links need space in addition to the data.
_SPARE = 1.05
_MAX_LISTED = 5
# Attempts, a second apart, before an inconsistency in a root that is in use counts as damage.
_ATTEMPTS = 5
_Found = TypeVar("_Found")


class DataRootMigration:
    """The migration of an engine from its plain root to the remapped one: `prepare` while it runs, `migrate` while it is stopped.

    leave: names of containers that may stay stopped afterwards.
    """

    def __init__(self, host: Host, ids: IdMaps, leave: frozenset[str] = frozenset()) -> None:
        self.host, self.ids, self.leave = host, ids, leave
        self.source = self.target = self.draft = Path()
        self.bytes = 0
        self._verified: set[str] = set()  # unchanging pieces that were compared in this run

    @property
    def root(self) -> str:
        """The path of the new root."""
        return "/" + str(self.target.relative_to(self.host.root))

    def prepare(self, info: dict[str, Any], orphans: Iterable[str] = ()) -> None:
        """Check whether the data can be migrated, and copy the layers of images, which never change, while containers still run.

        info: the engine's `/info`. orphans: IDs of running containers that the engine does not know. Raises MigrationBlocked, OSError,
        ValueError, and removes the copy.
        """
        uid, gid = self.ids.root
        self.source = self.host.path(info["DockerRootDir"])
        self.target, self.draft = self.source / f"{uid}.{gid}", self.source / f".bulkhead-{uid}.{gid}"
        problems = [*_find_engine_problems(info, orphans), *self._find_target_problems()]
        if problems:
            raise MigrationBlocked("; ".join(problems))
        self._check_data()
        try:
            self._create_folders()
            for piece in layout.list_image_layers(self.source):
                self._copy_piece(piece)
                self._verified.add(piece.name)
        except BaseException:
            shutil.rmtree(self.draft, ignore_errors=True)
            raise

    def migrate(self) -> None:
        """Copy everything, compare it with the original, and rename the copy. Raises OSError, ValueError, and removes the copy."""
        try:
            self._create_folders()
            pieces = layout.list_pieces(self.source)
            self._remove_stale(pieces)
            for piece in pieces:
                self._copy_piece(piece)
            self._link_layers()
            for name, configuration, _unused in layout.read_definitions(self.source):
                text = json.dumps(
                    layout.rebase_paths(configuration, self._name_path(self.source), self._name_path(self.target)), ensure_ascii=False
                )
                _write(self.draft / "containers" / name / "config.v2.json", text)
        except Exception:
            shutil.rmtree(self.draft, ignore_errors=True)
            raise
        os.sync()  # all data is on disk before the copy gets the name that an engine uses
        state.save(self.host, SUBJECT, self._describe_migration())
        os.rename(self.draft, self.target)
        fsync_folder(self.source)

    def _describe_migration(self) -> dict[str, Any]:
        paths = {"source": self._name_path(self.source), "target": self._name_path(self.target)}
        return {**paths, "at": time.time(), "bytes": self.bytes, "left": read_traces(self.source)}

    def _name_path(self, path: Path) -> str:
        """Return a path as the host names it."""
        return "/" + str(path.relative_to(self.host.root))

    # --- checks ---

    def _find_target_problems(self) -> list[str]:
        if not self.target.exists():
            return []
        if is_empty(self.target):
            problem = find_removal_problem(self.host, self.target)
            if problem:
                return [problem]
            shutil.rmtree(self.target)
            return []
        known = state.load(self.host, SUBJECT)
        if known.get("target") == self._name_path(self.target) and not has_run(self.target):
            # A run was interrupted between its last two steps. The comparison finds what containers have written to the plain root since.
            shutil.rmtree(self.draft, ignore_errors=True)
            self.target.rename(self.draft)
            return []
        return [
            f"{self._name_path(self.target)} has been an engine's root before and contains {describe_content(self.target)}; use it as it is with"
            " userns_remap_existing_data: hide, or move it to another place first"
        ]

    def _check_data(self) -> None:
        """Read the data. Raises MigrationBlocked for containers that would not start, owners outside of the map, and a disk that is too small."""
        problems, survey = [], tree.TreeSurvey()
        others = find_other_entries(self.source, frozenset({"plugins", "swarm"}))
        if others:
            problems.append(
                f"{', '.join(others[:_MAX_LISTED])} of {self._name_path(self.source)} cannot be migrated: remove managed plugins (docker plugin rm),"
                " and let the node leave its swarm (docker swarm leave); install them, and let it join again, afterwards"
            )
        for path in layout.list_linked_volumes(self.source):
            problems.append(
                f"{self._name_path(path)} is a symbolic link to {os.readlink(path)}, and the files there would keep their owners; move that folder here, or"
                " create a volume that mounts it (docker volume create --opt type=none --opt o=bind --opt device=FOLDER)"
            )
        for name, configuration, host_configuration in _retry(lambda: list(layout.read_definitions(self.source))):
            option = layout.find_unsupported_option(configuration, host_configuration)
            label = configuration.get("Name", name).lstrip("/")
            if option and label not in self.leave:
                problems.append(
                    f"container {label} has {option}, which the engine rejects under userns-remap; recreate it with --userns=host, or add it to"
                    " userns_remap_migrate_accept to migrate it and leave it stopped"
                )
        mounted = {line.split()[4] for line in (self.host.read("/proc/self/mountinfo") or "").splitlines()}
        for part in (part for piece in _retry(lambda: layout.list_pieces(self.source)) for part in piece.parts):
            if str(self.source / part.path) in mounted and layout.is_mount_point(self.source, part.path):
                continue  # the engine unmounts it when the containers stop
            survey.add(str(self.source / part.path), self.ids if part.content else _UNCHANGED)
        self.bytes = survey.bytes
        if survey.unmapped:
            problems.append(
                f"the ID ranges of the new root do not contain the owners of {', '.join(survey.unmapped)}; raise userns_remap_range_size, or"
                " change the owners of these files"
            )
        done = _measure_size(self.draft) if self.draft.exists() else 0
        disk = os.statvfs(self.source)
        if survey.bytes * _SPARE - done > disk.f_bavail * disk.f_frsize:
            problems.append(
                f"{self._name_path(self.source)} contains {survey.bytes >> 20} MiB to copy, and the disk has {(disk.f_bavail * disk.f_frsize) >> 20} MiB free;"
                " enlarge the disk, or remove what is no longer needed (docker system prune)"
            )
        if disk.f_files and survey.inodes * _SPARE > disk.f_favail:
            problems.append(
                f"{survey.inodes} files are to be copied, but the file system has {disk.f_favail} free inodes; remove files that are not needed"
            )
        if problems:
            raise MigrationBlocked("; ".join(problems))

    # --- copying ---

    def _create_folders(self) -> None:
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

    def _remove_stale(self, pieces: Iterable[layout.Piece]) -> None:
        """Remove what an earlier run copied and the original no longer has."""
        desired = {piece.folder for piece in pieces if piece.folder}
        for kind in (layout.DRIVER, "containers", "volumes"):
            for entry in (self.draft / kind).iterdir():
                if f"{kind}/{entry.name}" not in desired and entry.name != "l":
                    _remove(entry)

    def _copy_piece(self, piece: layout.Piece) -> None:
        if piece.name in self._verified or self._is_complete(piece):
            return
        if piece.folder:
            _remove(self.draft / piece.folder)
            _create_folder(
                self.draft / piece.folder, piece.mode, (os.geteuid(), self.ids.map_gid(0) if piece.mode & 0o070 else os.getegid())
            )
        for part in piece.parts:
            _remove(self.draft / part.path)
            tree.copy_tree(str(self.source / part.path), str(self.draft / part.path), self.ids if part.content else _UNCHANGED)
        if piece.new_folder:
            name, mode, inside = piece.new_folder
            owner = self.ids.root if inside else (os.geteuid(), self.ids.map_gid(0))
            _create_folder(self.draft / piece.folder / name, mode, owner)
        differences = self._find_differences(piece)
        if differences:
            raise ValueError(f"{piece.name} differs from its copy: {'; '.join(differences)}; the plain root is unchanged")

    def _is_complete(self, piece: layout.Piece) -> bool:
        top = self.draft / (piece.folder or piece.parts[0].path)
        has_folder = not piece.new_folder or (self.draft / piece.folder / piece.new_folder[0]).is_dir()
        return top.exists() and has_folder and not self._find_differences(piece)

    def _find_differences(self, piece: layout.Piece) -> list[str]:
        found: list[str] = []
        for part in piece.parts:
            ids = self.ids if part.content else _UNCHANGED
            found += tree.find_differences(str(self.source / part.path), str(self.draft / part.path), ids, _MAX_LISTED)
        return found[:_MAX_LISTED]

    def _link_layers(self) -> None:
        links = self.draft / layout.DRIVER / "l"
        for entry in links.iterdir():
            entry.unlink()
        for name in layout.list_layers(self.source):
            (links / layout.read_link_name(self.source, name)).symlink_to(f"../{name}/diff")


def build_migration(host: Host, setting: str | None, leave: frozenset[str]) -> DataRootMigration:
    """Return the migration to the root of a `userns-remap` setting; its user must have ranges. Raises ValueError, OSError."""
    user = parse_remap_user(setting or "")[0]
    dockerd = program.find_dockerd()
    first = prefers_numeric_owner(_read_version(dockerd) if dockerd else None)
    accounts = read_accounts(host)
    found = []
    for file in read_subid_files(host):
        rows = build_engine_map(file, user, accounts.uids.get(user), first)
        if not rows:
            raise MigrationBlocked(f"{file.path} has no range of user {user!r}; add one first (role userns_remap)")
        found.append(rows)
    return DataRootMigration(host, IdMaps(*found), leave)


class _UnchangedIds(IdMaps):
    """The map of the engine's own files, which keep their owners."""

    def map_uid(self, number: int) -> int:
        return number

    def map_gid(self, number: int) -> int:
        return number


_UNCHANGED = _UnchangedIds((), ())


def _retry(read: Callable[[], _Found]) -> _Found:
    """Read a root whose engine runs. Containers or volumes may be half created or half removed, so reading is repeated.

    Raises FileNotFoundError, ValueError if the state persists.
    """
    for _attempt in range(_ATTEMPTS):
        try:
            return read()
        except (FileNotFoundError, ValueError):
            time.sleep(1)
    return read()


def _find_engine_problems(info: dict[str, Any], orphans: Iterable[str]) -> list[str]:
    found = []
    if any("name=userns" in option for option in info.get("SecurityOptions") or []):
        found.append("the engine is remapped already, and only a plain root can be migrated; write userns_remap_existing_data: hide")
    store = dict(pair for pair in info.get("DriverStatus") or [] if len(pair) == 2)
    if info.get("Driver") != layout.DRIVER or "driver-type" in store:
        found.append(
            f"the engine keeps images with {info.get('Driver')}, and only {layout.DRIVER} can be migrated; write"
            " userns_remap_existing_data: hide, and transfer the images with docker save and docker load"
        )
    if (info.get("Swarm") or {}).get("LocalNodeState") not in (None, "", "inactive"):
        found.append(
            "this is a swarm node, whose services the swarm schedules; drain it, let it leave the swarm, and let it join again afterwards"
        )
    plugins = [name for kind, names in (info.get("Plugins") or {}).items() for name in names or [] if ":" in name and kind]
    if plugins:
        found.append(f"managed plugins cannot be migrated: {', '.join(plugins)}; remove them, and install them again afterwards")
    orphaned = [identifier[:12] for identifier in orphans]
    if orphaned:
        found.append(f"containers run that the engine does not know: {', '.join(orphaned)}; stop them with `ctr -n moby tasks kill` first")
    return found


def _measure_size(folder: Path) -> int:
    return sum(os.lstat(os.path.join(top, name)).st_blocks * 512 for top, _folders, names in os.walk(folder) for name in names)


def _create_folder(path: Path, mode: int, owner: tuple[int, int]) -> None:
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


def _read_version(dockerd: str) -> str | None:
    """Return the version (`28.5.2`) from `dockerd --version`; None when it prints none."""
    run = subprocess.run([dockerd, "--version"], capture_output=True, text=True, timeout=30, check=False)
    match = re.search(r"version (\d+(?:\.\d+)*)", run.stdout)
    return match[1] if match else None
