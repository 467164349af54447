# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a container has written to its own layer, from the folder that the kernel's overlay uses.

The engine answers the same question by comparing all files of the image (moby daemon/graphdriver/overlay2, Changes), which takes seconds per gigabyte.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

# If a container writes more files, the rest is not listed.
MAX_ENTRIES = 50_000
_OCTAL = re.compile(r"\\([0-7]{3})")


def find_writable_layer(mountinfo: str) -> str:
    """Return the folder of the host with what a process writes to its root; empty if that is not an overlay, or its path is relative.

    mountinfo: of the process (man 5 proc_pid_mountinfo). The last mount on / is the one on top.
    """
    found = ""
    for line in mountinfo.splitlines():
        mount, unused, source = line.partition(" - ")
        fields, options = mount.split(), source.split()
        if len(fields) > 4 and fields[4] == "/":
            named = dict(part.partition("=")[::2] for part in options[2].split(",")) if len(options) > 2 and options[0] == "overlay" else {}
            found = named.get("upperdir", "")
    found = _OCTAL.sub(lambda match: chr(int(match[1], 8)), found)
    return found if found.startswith("/") else ""


def list_written(folder: Path) -> list[str]:
    """Return the paths in the container of all files and folders of its layer. What it deleted is left out. Raises OSError without the folder.

    The container can change the folder meanwhile. So no link is followed, and a folder that was exchanged for one is not entered (os.fwalk).
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    found: list[str] = []
    for place, folders, files, descriptor in os.fwalk(folder):
        inside = f"/{os.path.relpath(place, folder)}/" if place != str(folder) else "/"
        for name in [*folders, *files]:
            if len(found) >= MAX_ENTRIES:
                return found
            if not _is_deleted(name, descriptor):
                found.append(inside + name)
    return found


def _is_deleted(name: str, descriptor: int) -> bool:
    """Return whether an entry stands for one that was deleted: a character device 0/0 (Linux Documentation/filesystems/overlayfs.rst)."""
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return True
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
