# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a migration needs to know of an engine whose images are in containerd."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..host.root import Host
from ..migration import images_list
from ..migration.roots import MigrationBlocked
from .images import convert_architecture
from .store import Store, read_store
from .view import View, plan_view, write_view


def read_view(host: Host, info: Mapping[str, Any]) -> tuple[Store, View]:
    """Return what containerd has for an engine, and the view of it. info: the engine's `/info`. Raises OSError, StoreUnreadable."""
    store = read_store(host, *images_list.find_namespace(info))
    view = plan_view(store, host.path(info["DockerRootDir"]), convert_architecture(str(info.get("Architecture"))))
    try:
        images_list.read_output(images_list.build_command(info))
    except MigrationBlocked as error:
        view.problems.append(f"containerd's own program cannot list the images, as the migration will: {error}")
    return store, view


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
