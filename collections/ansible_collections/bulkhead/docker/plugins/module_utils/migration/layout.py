# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine's root as pieces, each carried to the remapped root as one: what is in it, and whose its parts are.

A piece is content, whose owners are those that a container sees and so are mapped, or the engine's own bookkeeping, which stays root's.
Folders above content get the group of the remapped root and nobody else's access, as the engine makes them itself (moby
daemon/graphdriver/overlay2/overlay.go: create, volume/local/local.go: Create, daemon/create.go). The engine is stopped while its containers,
volumes and bookkeeping are read; the layers of images never change once they are there.

Not carried, because the engine makes it anew: the build cache, temporary files, the runtimes' shims.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVER = "overlay2"
_ID = re.compile(r"[0-9a-f]{64}(-init)?|[0-9a-z]{25}")
_CONTAINER = re.compile(r"[0-9a-f]{64}")
# Files of a container's folder that are mounted into it.
_MOUNTED = frozenset({"hostname", "hosts", "resolv.conf"})


@dataclass(frozen=True)
class Part:
    """One tree of a piece, relative to the root. content: whether its owners are mapped."""

    path: str
    content: bool


@dataclass(frozen=True)
class Piece:
    """What is carried, or found incomplete and carried again, as one.

    folder: its own folder, made with `mode` and the remapped group; empty for a single tree. made: a folder in it that is made anew,
    with its mode and whether it belongs to the containers' root.
    """

    name: str
    parts: tuple[Part, ...]
    folder: str = ""
    mode: int = 0o710
    made: tuple[str, int, bool] | None = None


def pieces(root: Path) -> list[Piece]:
    """All of a root. Raises OSError, ValueError for a root that is not understood."""
    found = [_layer(root, name) for name in layers(root)]
    found += [_container(root, name) for name in containers(root)]
    found += [_volume(root, name) for name in volumes(root)]
    plain = [f"image/{DRIVER}", "volumes/metadata.db", "network/files", "trust", "engine-id"]
    return found + [Piece(path, (Part(path, False),)) for path in plain if os.path.lexists(root / path)]


def image_layers(root: Path) -> list[Piece]:
    """The layers of images alone: those that nothing writes to, with the engine running or not."""
    return [_layer(root, name) for name in _named(root, ("sha256/*/cache-id",))]


def layers(root: Path) -> list[str]:
    """The folders of the storage driver that images and containers use; those of the build cache alone are none of them."""
    return _named(root, ("sha256/*/cache-id", "mounts/*/mount-id", "mounts/*/init-id"))


def _named(root: Path, patterns: tuple[str, ...]) -> list[str]:
    database = root / "image" / DRIVER / "layerdb"
    names = sorted({path.read_text().strip() for pattern in patterns for path in database.glob(pattern)})
    for name in names:
        if not _ID.fullmatch(name) or not (root / DRIVER / name / "diff").is_dir():
            raise ValueError(
                f"{database} names the layer {name!r}, and {root / DRIVER} has none of that name; the engine's root is damaged"
            )
    return names


def containers(root: Path) -> list[str]:
    return sorted(name for name in _list(root / "containers") if _CONTAINER.fullmatch(name))


def volumes(root: Path) -> list[str]:
    return sorted(name for name in _list(root / "volumes") if (root / "volumes" / name / "_data").is_dir())


def linked_volumes(root: Path) -> list[Path]:
    """Volumes whose content somebody has put elsewhere, with a symbolic link in its place."""
    found = (root / "volumes" / name / "_data" for name in sorted(_list(root / "volumes")))
    return [path for path in found if path.is_symlink()]


def mounts(root: Path, path: str) -> bool:
    """Whether a part is where the engine mounts something for its containers, as a volume's options say, and unmounts it when they have stopped
    (moby volume/local/local_unix.go, needsMount)."""
    if not re.fullmatch(r"volumes/[^/]+/_data", path):
        return False
    try:
        options = json.loads((root / path).with_name("opts.json").read_bytes()) or {}
    except FileNotFoundError:
        return False
    return bool(options.get("MountType") or options.get("MountDevice"))


def link(root: Path, layer: str) -> str:
    """The short name of a layer under `overlay2/l`."""
    return (root / DRIVER / layer / "link").read_text().strip()


def _parts(root: Path, folder: str, content: set[str], own: set[str]) -> tuple[Part, ...]:
    present = set(_list(root / folder))
    return tuple(Part(f"{folder}/{name}", name in content) for name in sorted((content | own) & present))


def _layer(root: Path, name: str) -> Piece:
    folder = f"{DRIVER}/{name}"
    work = ("work", 0o700, True) if os.path.isdir(root / folder / "work") else None
    return Piece(f"layer {name}", _parts(root, folder, {"diff"}, {"link", "lower", "committed"}), folder, made=work)


def _container(root: Path, name: str) -> Piece:
    folder = f"containers/{name}"
    own = set(_list(root / folder)) - _MOUNTED - {"mounts", "config.v2.json"}
    return Piece(f"container {name[:12]}", _parts(root, folder, set(_MOUNTED), own), folder, made=("mounts", 0o710, False))


def _volume(root: Path, name: str) -> Piece:
    folder = f"volumes/{name}"
    return Piece(f"volume {name}", _parts(root, folder, {"_data"}, {"opts.json"}), folder, mode=0o701)


def _list(path: Path) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


# --- definitions of containers ---


def definitions(root: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """ID, configuration and host configuration of every container, as the engine keeps them. Raises OSError, ValueError."""
    for name in containers(root):
        folder = root / "containers" / name
        if not (folder / "config.v2.json").exists():
            raise ValueError(f"{folder} has no config.v2.json; the engine's root is damaged")
        yield name, json.loads((folder / "config.v2.json").read_bytes()), json.loads((folder / "hostconfig.json").read_bytes())


def moved(configuration: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """A container's configuration with the paths of its own files and of its volumes under the new root; bind mounts stay."""
    result = dict(configuration)
    for key, value in configuration.items():
        if isinstance(value, str) and value.startswith(f"{old}/containers/"):
            result[key] = new + value.removeprefix(old)
    mounts = {}
    for place, mount in (configuration.get("MountPoints") or {}).items():
        source = mount.get("Source") or ""
        ours = mount.get("Type") == "volume" and source.startswith(f"{old}/volumes/")
        mounts[place] = {**mount, "Source": new + source.removeprefix(old)} if ours else mount
    if mounts:
        result["MountPoints"] = mounts
    return result


def refused_under_remap(configuration: dict[str, Any], host: dict[str, Any]) -> str:
    """Why the engine would not start this container under userns-remap (moby daemon/daemon_unix.go, verifyPlatformContainerSettings);
    empty when it would."""
    if (host.get("UsernsMode") or "") == "host":
        return ""
    for what, given in (
        ("--privileged", host.get("Privileged")),
        ("--network host", host.get("NetworkMode") == "host"),
        ("--pid host", host.get("PidMode") == "host"),
    ):
        if given:
            return what
    return ""
