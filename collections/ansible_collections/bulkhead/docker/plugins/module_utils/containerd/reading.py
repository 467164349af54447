# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a migration needs to know of an engine whose images are in containerd."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..host.root import Host
from ..migration import images_list
from ..migration.roots import MigrationBlocked
from .images import convert_architecture, list_references
from .store import Store, read_store
from .view import View, plan_view, write_view

ListImages = Callable[[], Iterable[Mapping[str, Any]]]
_ATTEMPTS, _SHOWN = 3, 5


def read_view(host: Host, info: Mapping[str, Any], list_images: ListImages) -> tuple[Store, View]:
    """Return what containerd has for an engine, and the view of it. Raises OSError, StoreUnreadable, and what `list_images` does.

    info: the engine's `/info`. list_images: returns its `/images/json`.
    """
    address, namespace = images_list.find_namespace(info)
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(1)  # a container or an image may have been created or removed meanwhile
        store = read_store(host, address, namespace)
        view = plan_view(store, host.path(info["DockerRootDir"]), convert_architecture(str(info.get("Architecture"))))
        view.problems += _find_unknown_images(store, address, list_images())
        if not view.problems:
            break
    try:
        images_list.read_output(images_list.build_command(info))
    except MigrationBlocked as error:
        view.problems.append(f"containerd's own program cannot list the images, as the migration will: {error}")
    return store, view


def _find_unknown_images(store: Store, address: str, listed: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a problem if the engine has images that are not where they were read: engines before 27 do not report their namespace."""
    known = {reference for name, digest in store.images.items() for _repository, reference in list_references(name, digest)}
    known |= {f"{reference}:latest" for reference in known}
    unknown = sorted({tag for image in listed for tag in image.get("RepoTags") or ()} - known)
    if not unknown:
        return []
    return [
        f"the engine lists {', '.join(unknown[:_SHOWN])}, and containerd at {address} does not have it in namespace {store.namespace}; let the engine"
        " start without --containerd-namespace, or write userns_remap_existing_data: hide"
    ]


def count_unused(root: Path) -> int:
    """Return the number of images that a data root has of storage drivers, which its engine does not use."""
    return sum(1 for _path in root.glob("image/*/imagedb/content/sha256/*"))


@contextmanager
def open_draft(store: Store, view: View, folder: str | None = None) -> Iterator[Path]:
    """Yield a temporary view without archives, from which sizes and owners are read. folder: where it is created."""
    path = Path(tempfile.mkdtemp(prefix="bulkhead-view-", dir=folder))
    try:
        write_view(view, store, path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
