# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrates an engine's data to its remapped root, without starting a second engine.

The files of the root are copied, and the owners that containers see are mapped. So everything keeps its ID: images, containers with their
files and logs, named and anonymous volumes, networks. The plain root is only read, and kept until `finalize`.

An interrupted run leaves `.bulkhead-UID.GID` next to the roots. The next run compares each piece there with the original, byte by byte,
keeps those that are equal, and renames the folder to UID.GID once it is complete.

For images in containerd, the layers are copied that a view names (containerd/view.py), and the new root uses storage driver overlay2.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..host import state
from ..host.files import fsync_folder
from ..host.root import Host, sha256
from . import images_list, layout, obstacles, survey, tree
from .ids import UNCHANGED, IdMaps
from .roots import SUBJECT, VIEW, MigrationBlocked, judge_target, read_traces

_MAX_LISTED = 5


class DataRootMigration:
    """The migration of an engine from its plain root to the remapped one: `prepare` while it runs, `migrate` while it is stopped.

    ids: the maps with which the engine will start. leave: names of containers that may stay stopped afterwards.
    """

    def __init__(self, host: Host, ids: IdMaps, leave: frozenset[str] = frozenset()) -> None:
        self.host, self.ids, self.leave = host, ids, leave
        self.source = self.target = self.draft = self.store = Path()
        self.list_images: list[str] = []  # the command with which containerd lists the images; empty if they are not there
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
        self.store = self.source / VIEW if obstacles.is_in_containerd(info) else self.source
        problems = [*obstacles.find_engine_obstacles(info, orphans), *filter(None, [self._prepare_target()])]
        if problems:
            raise MigrationBlocked("; ".join(problems))
        if self.store != self.source:
            self.list_images = images_list.build_command(info)
            self._compare_images()
        facts = survey.read_facts(self.host, self.source, self.draft, self.ids, store=self.store)
        self.bytes = facts["bytes"]
        problems = obstacles.find_data_obstacles(facts)
        problems += obstacles.find_container_obstacles(facts["containers"], self.ids, self.leave)
        if problems:
            raise MigrationBlocked("; ".join(problems))
        try:
            self._create_folders()
            for piece in layout.list_image_layers(self.store):
                self._copy_piece(piece)
                self._verified.add(piece.name)
        except BaseException:
            shutil.rmtree(self.draft, ignore_errors=True)
            raise

    def migrate(self) -> None:
        """Copy everything, compare it with the original, and rename the copy. Raises OSError, ValueError, and removes the copy."""
        try:
            if self.store != self.source:
                self._compare_images()
                self._compare_containers()
            self._create_folders()
            pieces = layout.list_pieces(self.source, self.store)
            self._remove_stale(pieces)
            for piece in pieces:
                self._copy_piece(piece)
            self._link_layers()
            for name, configuration, _unused in layout.read_definitions(self.source, self.store):
                changed = layout.rebase_paths(configuration, self._name_path(self.source), self._name_path(self.target))
                if self.store != self.source:
                    changed.pop("ImageManifest", None)
                    changed |= json.loads((self.store / "containers" / f"{name}.json").read_bytes())
                _write(self.draft / "containers" / name / "config.v2.json", json.dumps(changed, ensure_ascii=False))
        except Exception:
            shutil.rmtree(self.draft, ignore_errors=True)
            raise
        os.sync()  # all data is on disk before the copy gets the name that an engine uses
        state.save(self.host, SUBJECT, self._describe_migration())
        os.rename(self.draft, self.target)
        fsync_folder(self.source)
        if self.store != self.source:
            shutil.rmtree(self.store, ignore_errors=True)

    def _describe_migration(self) -> dict[str, Any]:
        paths = {"source": self._name_path(self.source), "target": self._name_path(self.target)}
        images = {"images": self.list_images, "listed": sha256(images_list.read_output(self.list_images))} if self.list_images else {}
        return {**paths, "at": time.time(), "bytes": self.bytes, "left": read_traces(self.source), **images}

    def _name_path(self, path: Path) -> str:
        """Return a path as the host names it."""
        return "/" + str(path.relative_to(self.host.root))

    # --- checks ---

    def _prepare_target(self) -> str:
        """Make way for the new root. Returns why that is not possible."""
        action, problem = judge_target(self.host, self.target)
        if problem:
            return problem
        if action == "replace":
            shutil.rmtree(self.target)
        elif action == "resume":
            # A run was interrupted between its last two steps. The comparison finds what containers have written to the plain root since.
            shutil.rmtree(self.draft, ignore_errors=True)
            self.target.rename(self.draft)
        return ""

    def _compare_images(self) -> None:
        """Raise MigrationBlocked if containerd has other images than the view."""
        try:
            known = (self.store / "images").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise MigrationBlocked("what the engine has in containerd was not read before; run again") from error
        if images_list.read_output(self.list_images) != known:
            raise MigrationBlocked("images were added, changed or removed while they were migrated; run again")

    def _compare_containers(self) -> None:
        """Remove from the view the containers that are gone. Raises MigrationBlocked if there are new ones."""
        database = self.store / "image" / layout.DRIVER / "layerdb" / "mounts"
        known, now = set(os.listdir(database)), set(layout.list_containers(self.source))
        for name, why in layout.find_ignored(self.source, self.store).items():
            if why == layout.WITHOUT_LAYER:
                raise MigrationBlocked(f"{name[:23]} was created while images were read; run again")
        for name in known - now:  # containers with --rm, and others that were removed
            shutil.rmtree(database / name)

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
            tree.copy_tree(str(self._locate(part)), str(self.draft / part.path), self.ids if part.content else UNCHANGED)
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
            ids = self.ids if part.content else UNCHANGED
            found += tree.find_differences(str(self._locate(part)), str(self.draft / part.path), ids, _MAX_LISTED)
        return found[:_MAX_LISTED]

    def _locate(self, part: layout.Part) -> Path:
        return layout.locate(self.source, self.store, part.path)

    def _link_layers(self) -> None:
        links = self.draft / layout.DRIVER / "l"
        for entry in links.iterdir():
            entry.unlink()
        for name in layout.list_layers(self.store):
            (links / layout.read_link_name(self.store, name)).symlink_to(f"../{name}/diff")


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
