# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a view of images and containers in containerd: the files with which an engine finds them in storage driver overlay2.

A view is a folder with `image` and `overlay2`, as in an engine's data root. The content of each layer there is a link to containerd's own
folder, which an overlay of both has in the same form: whiteouts, opaque folders, attributes (containerd plugins/snapshots/overlay; moby
daemon/graphdriver/overlay2). A migration copies what the links lead to. The view does not copy or change anything of containerd.

Formats: moby layer/filestore.go (layerdb), image/fs.go (imagedb), reference/store.go (repositories.json), overlay2/overlay.go (link, lower,
committed). `containers/ID.json` is not of an engine: it has what changes in the container's configuration. `images` is the list of images.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..migration import layout
from .blobs import Archive, explain_remedy, find_archive_problems, list_archives
from .images import Image, ImageLayer, choose_platform, list_platforms, list_references, name_image
from .store import Store

_MOST_LAYERS = 125  # moby layer/layer_store.go, maxLayerDepth; containerd has no such limit

Describe = Callable[[Store, ImageLayer, Path, Path], int]


@dataclass
class View:
    """What a view has. archives: of its layers. problems: why images or containers cannot be migrated. left: what a storage driver has no
    place for."""

    images: dict[str, Image] = field(default_factory=dict)  # by configuration
    references: dict[str, dict[str, str]] = field(default_factory=dict)  # repository -> name -> configuration
    containers: dict[str, Image] = field(default_factory=dict)
    archives: list[Archive] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def plan_view(store: Store, root: Path, architecture: str) -> View:
    """Return what the view of a data root's engine has. architecture: the host's, as images name it. Raises OSError."""
    view = View()
    # What is unpacked has its files.
    store = replace(store, snapshots={name: snapshot for name, snapshot in store.snapshots.items() if snapshot.folder.is_dir()})
    for name, digest in sorted(store.images.items()):
        damaged: set[str] = set()
        choice = choose_platform(digest, architecture, partial(store.load, damaged=damaged), store.snapshots)
        if damaged and (choice.image is None or choice.image.platform.split("/")[1:2] != [architecture]):
            view.problems.append(
                f"{name_image(name)}: a document of it in containerd is damaged; {explain_remedy(store, ' '.join(sorted(damaged)))}"
            )
            continue
        if choice.image is None:
            problem = next((image.problem for image in list_platforms(digest, store.load, store.snapshots)[0]), "it has no platform")
            view.problems.append(
                f"{name_image(name)}: {problem}, so {layout.DRIVER} cannot store it; pull it again, or remove it (docker rmi)"
            )
            continue
        view.images[choice.image.config] = choice.image
        for repository, reference in list_references(name, digest):
            view.references.setdefault(repository, {})[reference] = choice.image.config
        if choice.left:
            view.left.append(f"{name_image(name)}: {', '.join(choice.left)}")
    for name, configuration in _read_containers(root):
        image = _find_image(store, name, configuration)
        if image is None:
            label = str(configuration.get("Name") or name[:12]).lstrip("/")
            view.problems.append(
                f"container {label}: containerd has no image whose layers are those of the container; commit it (docker commit {label}), and create"
                " it again from the new image"
            )
            continue
        view.containers[name] = image
        view.images[image.config] = image
    names = {config: name for references in view.references.values() for name, config in sorted(references.items(), reverse=True)}
    view.archives = list_archives(view.images, names)
    view.problems += [
        f"image {names.get(config, config[:19])} has {len(image.layers)} layers, and {layout.DRIVER} takes at most {_MOST_LAYERS}; build it with fewer"
        " layers, or remove it and its containers"
        for config, image in sorted(view.images.items())
        if len(image.layers) > _MOST_LAYERS
    ]
    view.problems += find_archive_problems(store, view.archives)
    return view


def _read_containers(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ID and configuration of every container of the snapshotter that the engine does not ignore."""
    for name in layout.list_containers(root):
        try:
            configuration = json.loads((root / "containers" / name / "config.v2.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            continue
        if isinstance(configuration, dict) and configuration.get("ID") == name and configuration.get("Driver") == layout.SNAPSHOTTER:
            yield name, configuration


def _find_image(store: Store, name: str, configuration: Mapping[str, Any]) -> Image | None:
    """Return the image on whose layers a container's snapshot is; None if there is none."""
    if name not in store.snapshots:
        return None
    top = store.snapshots[name].parent
    if top == f"{name}-init":
        top = store.snapshots[top].parent if top in store.snapshots else top
    for digest in ((configuration.get("ImageManifest") or {}).get("digest"), configuration.get("Image")):
        images = list_platforms(digest, store.load, store.snapshots)[0] if digest else []
        for image in images:
            if not image.problem and image.top == top:
                return image
    return None


# --- writing ---


def write_view(view: View, store: Store, folder: Path, describe: Describe | None = None) -> None:
    """Write a view into an empty folder. Raises OSError, ValueError.

    describe: writes the description of a layer's archive to a file, and returns the size of the layer's files. Without it, a view is only for
    reading owners and sizes.
    """
    image_store = folder / "image" / layout.DRIVER
    for path in ("imagedb/content/sha256", "imagedb/metadata/sha256", "layerdb/sha256", "layerdb/mounts", "layerdb/tmp", "distribution"):
        (image_store / path).mkdir(parents=True)
    (folder / layout.DRIVER).mkdir()
    (folder / "containers").mkdir()
    layers = {layer.chain: layer for image in view.images.values() for layer in image.layers}
    for layer in layers.values():
        _write_layer(store, folder, layer, layers, describe)
    for config in view.images:
        blob = store.find_blob(config)
        if blob is None:
            raise ValueError(f"image {config[:19]} was removed meanwhile; run again")
        shutil.copyfile(blob, image_store / "imagedb/content/sha256" / _get_hex(config))
    _write(image_store / "repositories.json", json.dumps({"Repositories": view.references}))
    for name, image in view.containers.items():
        _write_container(store, folder, name, image, layers)


def _write_layer(store: Store, folder: Path, layer: ImageLayer, layers: Mapping[str, ImageLayer], describe: Describe | None) -> None:
    name, source = _get_hex(layer.chain), store.snapshots[layer.chain].folder
    _write_folder(folder, name, source, _list_links(layer.parent, layers))
    database = folder / "image" / layout.DRIVER / "layerdb/sha256" / name
    database.mkdir()
    _write(database / "cache-id", name)
    _write(database / "diff", layer.diff_id)
    if layer.parent:
        _write(database / "parent", layer.parent)
        _write(folder / layout.DRIVER / _get_hex(layer.parent) / "committed", "")
    size = describe(store, layer, source, database / "tar-split.json.gz") if describe else 0
    _write(database / "size", str(size))


def _write_container(store: Store, folder: Path, name: str, image: Image, layers: Mapping[str, ImageLayer]) -> None:
    snapshot = store.snapshots[name]
    mount = hashlib.sha256(f"mount {name}".encode()).hexdigest()
    database = folder / "image" / layout.DRIVER / "layerdb/mounts" / name
    database.mkdir()
    links = _list_links(image.top, layers)
    _write(database / "mount-id", mount)
    if image.top:
        _write(database / "parent", image.top)
        _write(folder / layout.DRIVER / _get_hex(image.top) / "committed", "")
    if snapshot.parent == f"{name}-init":
        init = f"{mount}-init"
        _write(database / "init-id", init)
        _write_folder(folder, init, store.snapshots[snapshot.parent].folder, links)
        _write(folder / layout.DRIVER / init / "committed", "")
        links = [_build_link(init), *links]
    _write_folder(folder, mount, snapshot.folder, links)
    _write(folder / "containers" / f"{name}.json", json.dumps({"Driver": layout.DRIVER, "Image": image.config}))


def _write_folder(folder: Path, name: str, source: Path, links: list[str]) -> None:
    """Write the folder of a layer. links: those of the layers below it, the nearest first."""
    own = folder / layout.DRIVER / name
    own.mkdir()
    os.symlink(source, own / "diff")
    _write(own / "link", _build_link(name))
    if links:
        (own / "work").mkdir()
        _write(own / "lower", ":".join(f"l/{link}" for link in links))


def _list_links(chain: str, layers: Mapping[str, ImageLayer]) -> list[str]:
    found = []
    while chain:
        found.append(_build_link(_get_hex(chain)))
        chain = layers[chain].parent
    return found


def _build_link(name: str) -> str:
    """Return the short name of a layer's folder, which is always the same, so that a repeated copy is equal."""
    return base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:26]


def _get_hex(digest: str) -> str:
    return digest.partition(":")[2]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
