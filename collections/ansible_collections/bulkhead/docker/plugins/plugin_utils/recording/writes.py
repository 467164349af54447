# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the folders to which a service writes outside of its mounts: each needs a tmpfs or a volume if the root file system is read-only. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...module_utils.recorder.paths import escape
from .generation import shorten_list
from .model import ContainerMount, Recording

# What is written there is not needed after a restart (Filesystem Hierarchy Standard 3.0: /run, /tmp, /var/cache, /var/lock, /var/log; /var/tmp is
# kept over reboots, but a container's is not). A folder below is mounted whole, except those that have one folder per program.
_TEMPORARY = ("/run", "/tmp", "/var/tmp")
_TEMPORARY_BY_PROGRAM = ("/var/cache", "/var/log")
# Folders whose own files cannot be replaced by a mount, and the engine's or the kernel's file systems.
_NEVER = frozenset("/ /etc /usr /usr/local /bin /sbin /lib /lib64 /usr/bin /usr/sbin /usr/lib /var /var/lib /opt /root /home".split())
_KERNEL = ("/proc", "/sys", "/dev")
_ENGINE_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv")
# /var/run is a link to /run in images of all distributions.
_LINKED = re.compile(r"^/var/run/")
_PATTERN = re.compile(r"(?<!\\)[*?\[{]|@\{")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Folder:
    """A folder that must be writable. keeps: whether its files are kept, in a volume, or lost at the end, in a tmpfs. why: what was written."""

    keeps: bool
    why: str


def find_written_folders(recording: Recording) -> tuple[dict[str, Folder], list[str]]:
    """Return the folders, by path, and one message per written path for which no mount can be proposed."""
    found: dict[str, set[str]] = {}
    problems = []
    for path in sorted({*recording.written, *_list_written_files(recording)}):
        path = _LINKED.sub("/run/", path)
        if path.startswith(("@", *(f"{kernel}/" for kernel in _KERNEL))) or path in _ENGINE_FILES or _is_in_mount(path, recording.mounts):
            continue
        folder = _choose_folder(path)
        if folder in _NEVER:
            problems.append(f"read_only: it writes {path}, for which no tmpfs or volume is proposed; mount the file, or change the image")
        else:
            found.setdefault(folder, set()).add(path)
    for folder in sorted(found):
        outer = next((other for other in found if folder.startswith(f"{other}/")), None)
        if outer:
            found[outer] |= found.pop(folder)
    return {folder: Folder(not _is_temporary(folder), f"written: {shorten_list(paths, 3)}") for folder, paths in found.items()}, problems


def is_generalised(path: str) -> bool:
    """Return whether a recorded path is a pattern, and not only the path itself."""
    return _PATTERN.search(path) is not None


def _list_written_files(recording: Recording) -> Iterator[str]:
    for each in recording.access:
        if each.access["class"] == "file" and not each.denied and "w" in each.access["mask"]:
            yield each.access["path"]


def _is_in_mount(path: str, mounts: list[ContainerMount]) -> bool:
    folders = [escape(mount.destination.rstrip("/")) for mount in mounts]
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _choose_folder(path: str) -> str:
    """Return the folder to mount for a written path: a whole temporary folder, a program's folder, or the folder of the file."""
    # Only the part without patterns, and without the escapes of AppArmor.
    names: list[str] = []
    for name in path.strip("/").split("/"):
        if is_generalised(name):
            break
        names.append(_ESCAPED.sub(r"\1", name))
    complete = len(names) == len(path.strip("/").split("/"))
    for base in _TEMPORARY:
        if f"{'/'.join(['', *names])}/".startswith(f"{base}/"):
            return base
    for base in _TEMPORARY_BY_PROGRAM:
        depth = base.count("/") + 1
        if "/".join(["", *names]).startswith(f"{base}/") and len(names) > depth:
            return "/".join(["", *names[:depth]])
    return "/".join(["", *(names[:-1] if complete else names)]) or "/"


def _is_temporary(folder: str) -> bool:
    return any(folder == base or folder.startswith(f"{base}/") for base in (*_TEMPORARY, *_TEMPORARY_BY_PROGRAM))
