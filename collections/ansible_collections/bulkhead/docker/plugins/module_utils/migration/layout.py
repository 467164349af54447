# SPDX-License-Identifier: GPL-3.0-or-later
"""Divides an engine's root into pieces that are copied to the remapped root one by one.

Parts with content have the owners that a container sees, which are mapped. The engine's own files still belong to root. Folders above
content belong to the group of the remapped root and deny access to others, as the engine creates them (moby
daemon/graphdriver/overlay2/overlay.go: create, volume/local/local.go: Create, daemon/create.go). The engine is stopped while its
containers, volumes and own files are read; layers of images never change.

Not copied, because the engine creates it again: the build cache, temporary files, the runtimes' shims.

`store` is the folder of images and layers: the root itself or, if they are in containerd, a view of them (containerd/view.py), in which the
content of a layer is a link.
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
SNAPSHOTTER = "overlayfs"  # of containerd; its layers have the same form
WITHOUT_LAYER = "the storage driver has no layer of it"
_ID = re.compile(r"[0-9a-f]{64}(-init)?|[0-9a-z]{25}")
_CONTAINER = re.compile(r"[0-9a-f]{64}")
# Files of a container's folder that are mounted into the container.
_MOUNTED = frozenset({"hostname", "hosts", "resolv.conf"})


@dataclass(frozen=True)
class Part:
    """One tree of a piece; `path` is relative to the root. content: whether its owners are mapped."""

    path: str
    content: bool


@dataclass(frozen=True)
class Piece:
    """What is copied as one, and copied again if it is incomplete.

    folder: its folder, created with `mode` and the remapped group; empty for a single tree. new_folder: an empty folder to create in it,
    with its mode and whether it belongs to the containers' root.
    """

    name: str
    parts: tuple[Part, ...]
    folder: str = ""
    mode: int = 0o710
    new_folder: tuple[str, int, bool] | None = None


def locate(root: Path, store: Path, path: str) -> Path:
    """Return where a part is copied from."""
    if not path.startswith((f"{DRIVER}/", "image/")):
        return root / path
    place = store / path
    return place.resolve() if store != root and place.name == "diff" else place


def list_pieces(root: Path, store: Path) -> list[Piece]:
    """Return all pieces of a root. Raises OSError, ValueError for an unknown layout."""
    return [_build_layer(store, name) for name in list_layers(store)] + list_other_pieces(root, store)


def list_other_pieces(root: Path, store: Path) -> list[Piece]:
    """Return the pieces besides the layers of images and containers. Raises OSError."""
    ignored = find_ignored(root, store)
    found = [_build_container(root, name) for name in list_containers(root) if f"containers/{name}" not in ignored]
    found += [_build_volume(root, name) for name in list_volumes(root)]
    plain = [f"image/{DRIVER}", "volumes/metadata.db", "network/files", "trust", "engine-id"]
    return found + [Piece(path, (Part(path, False),)) for path in plain if os.path.lexists(locate(root, store, path))]


def list_image_layers(store: Path) -> list[Piece]:
    """Return the pieces of image layers, which never change, even while the engine runs."""
    return [_build_layer(store, name) for name in _list_named_layers(store, ("sha256/*/cache-id",))]


def list_layers(store: Path) -> list[str]:
    """Return the folders of the storage driver that images and containers use, without those of the build cache alone."""
    return _list_named_layers(store, ("sha256/*/cache-id", "mounts/*/mount-id", "mounts/*/init-id"))


def _list_named_layers(store: Path, patterns: tuple[str, ...]) -> list[str]:
    database = store / "image" / DRIVER / "layerdb"
    names = sorted({path.read_text().strip() for pattern in patterns for path in database.glob(pattern)})
    for name in names:
        if not _ID.fullmatch(name) or not (store / DRIVER / name / "diff").is_dir():
            raise ValueError(f"{database} names the layer {name!r}, which {store / DRIVER} does not contain; the engine's root is damaged")
    return names


def list_containers(root: Path) -> list[str]:
    """Return the IDs of the containers of a root."""
    return sorted(name for name in _list_folder(root / "containers") if _CONTAINER.fullmatch(name))


def list_volumes(root: Path) -> list[str]:
    """Return the names of the volumes of a root that have a folder for content."""
    return sorted(name for name in _list_volume_folders(root) if (root / "volumes" / name / "_data").is_dir())


def list_linked_volumes(root: Path) -> list[Path]:
    """Return the volumes whose content is a symbolic link."""
    found = (root / "volumes" / name / "_data" for name in _list_volume_folders(root))
    return [path for path in found if path.is_symlink()]


def _list_volume_folders(root: Path) -> list[str]:
    """Return the names of the volumes that an engine finds at its start: folders, not links to them (moby volume/local/local.go, New)."""
    folder = root / "volumes"
    return sorted(name for name in _list_folder(folder) if (folder / name).is_dir() and not (folder / name).is_symlink())


def find_ignored(root: Path, store: Path) -> dict[str, str]:
    """Return path below the root -> why an engine ignores the container or volume there, at every start (moby daemon/container.go, load;
    daemon/daemon.go, restore; volume/local/local.go, New). It is not copied."""
    found = {
        f"volumes/{name}": "it is a symbolic link" for name in _list_folder(root / "volumes") if (root / "volumes" / name).is_symlink()
    }
    for name in _list_folder(root / "containers"):
        why = _explain_ignored(root, store, name)
        if why:
            found[f"containers/{name}"] = why
    return found


def _explain_ignored(root: Path, store: Path, name: str) -> str:
    try:
        configuration = json.loads((root / "containers" / name / "config.v2.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return "it has no config.v2.json"
    except ValueError:
        return "its config.v2.json is not valid JSON"
    if not isinstance(configuration, dict) or configuration.get("ID") != name:
        return "its config.v2.json is of another container"
    if configuration.get("Driver") != (DRIVER if store == root else SNAPSHOTTER):
        return f"it was created with the storage driver {configuration.get('Driver')}"
    return "" if (store / "image" / DRIVER / "layerdb" / "mounts" / name).is_dir() else WITHOUT_LAYER


def find_damage(root: Path, store: Path) -> list[str]:
    """Return what the copy, or an engine that starts with it, cannot work with: one message per layer, container or volume. Raises OSError."""
    found = []
    try:
        for name in list_layers(store):
            if not (store / DRIVER / name / "link").is_file():
                found.append(f"the layer {store / DRIVER / name} has no file link")
    except ValueError as error:
        found.append(str(error))
    for name in _list_volume_folders(root):
        folder = root / "volumes" / name
        if not os.path.lexists(folder / "_data"):
            found.append(f"the volume {name} has no folder {folder / '_data'}")
        try:
            is_mount_point(root, f"volumes/{name}/_data")
        except (ValueError, AttributeError):  # an engine does not start with it (moby volume/local/local.go, loadOpts)
            found.append(f"{folder / 'opts.json'} is not valid")
    ignored = find_ignored(root, store)
    for path in (root / "containers").glob("*/hostconfig.json"):
        if f"containers/{path.parent.name}" not in ignored and not isinstance(_load(path), dict):
            found.append(f"{path} is not valid JSON")
    return found


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:  # the engine then takes defaults (moby container/container.go, readHostConfig)
        return {}
    except ValueError:
        return None


def is_mount_point(root: Path, path: str) -> bool:
    """Return whether the engine mounts something on this part while its containers run, by the volume's options (moby
    volume/local/local_unix.go, needsMount)."""
    if not re.fullmatch(r"volumes/[^/]+/_data", path):
        return False
    try:
        options = json.loads((root / path).with_name("opts.json").read_bytes()) or {}
    except FileNotFoundError:
        return False
    return bool(options.get("MountType") or options.get("MountDevice"))


def read_link_name(store: Path, layer: str) -> str:
    """Return the short name of a layer under `overlay2/l`."""
    return (store / DRIVER / layer / "link").read_text().strip()


def _list_parts(root: Path, folder: str, content: set[str], own: set[str]) -> tuple[Part, ...]:
    present = set(_list_folder(root / folder))
    return tuple(Part(f"{folder}/{name}", name in content) for name in sorted((content | own) & present))


def _build_layer(store: Path, name: str) -> Piece:
    folder = f"{DRIVER}/{name}"
    work = ("work", 0o700, True) if os.path.isdir(store / folder / "work") else None
    return Piece(f"layer {name}", _list_parts(store, folder, {"diff"}, {"link", "lower", "committed"}), folder, new_folder=work)


def _build_container(root: Path, name: str) -> Piece:
    folder = f"containers/{name}"
    own = set(_list_folder(root / folder)) - _MOUNTED - {"mounts", "config.v2.json"}
    return Piece(f"container {name[:12]}", _list_parts(root, folder, set(_MOUNTED), own), folder, new_folder=("mounts", 0o710, False))


def _build_volume(root: Path, name: str) -> Piece:
    folder = f"volumes/{name}"
    return Piece(f"volume {name}", _list_parts(root, folder, {"_data"}, {"opts.json"}), folder, mode=0o701)


def _list_folder(path: Path) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


# --- definitions of containers ---


def read_definitions(root: Path, store: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield ID, configuration and host configuration of every container. Raises OSError, ValueError."""
    ignored = find_ignored(root, store)
    for name in list_containers(root):
        if f"containers/{name}" not in ignored:
            folder = root / "containers" / name
            yield name, json.loads((folder / "config.v2.json").read_bytes()), _load(folder / "hostconfig.json") or {}


def rebase_paths(configuration: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return a container's configuration with the paths of its files and volumes under the new root; bind mounts stay."""
    result = dict(configuration)
    for key, value in configuration.items():
        if isinstance(value, str) and value.startswith(f"{old}/containers/"):
            result[key] = new + value.removeprefix(old)
    mounts = {}
    for target, mount in (configuration.get("MountPoints") or {}).items():
        source = mount.get("Source") or ""
        is_in_root = mount.get("Type") == "volume" and source.startswith(f"{old}/volumes/")
        mounts[target] = {**mount, "Source": new + source.removeprefix(old)} if is_in_root else mount
    if mounts:
        result["MountPoints"] = mounts
    return result
