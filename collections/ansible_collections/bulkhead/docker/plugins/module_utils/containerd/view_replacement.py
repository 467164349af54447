# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the view of images in containerd that a migration copies from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from ..host.root import Host
from ..migration import images_list
from ..migration.roots import VIEW, MigrationBlocked
from .archives import describe_archive
from .reading import ListImages, read_view
from .view import View, write_view


def replace_view(host: Host, info: Mapping[str, Any], list_images: ListImages) -> View:
    """Write the view into the data root, in place of an earlier one, and return it. Raises MigrationBlocked, OSError, ValueError.

    info, list_images: as for `read_view`. The list of images that containerd's own program prints is kept with it, and compared again when the
    engine is stopped.
    """
    images = images_list.read_output(images_list.build_command(info))
    store, view = read_view(host, info, list_images)
    if view.problems:
        raise MigrationBlocked("; ".join(view.problems))
    folder = host.path(info["DockerRootDir"]) / VIEW
    if os.path.lexists(folder):
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    try:
        write_view(view, store, folder, describe_archive)
        (folder / "images").write_text(images, encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return view
