# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a container image from the host's own binaries, without a registry."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

# How the dynamic loader names a library: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, itself: `/lib64/ld-linux-x86-64.so.2 (0x…)`.
_ADDRESS = " (0x"


def find_program(program: str) -> str:
    """Return the path of a program of the distribution. Raises FileNotFoundError."""
    found = shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if not found:
        raise FileNotFoundError(f"{program}: not found on this host; install it, because the image is built from it")
    return found


def list_libraries(program: str, extensions: Iterable[str] = ()) -> list[str]:
    """Return the shared objects that `program` loads (man 8 ld.so: LD_TRACE_LOADED_OBJECTS); none when it is static.

    extensions: shared objects that it opens later, whose own ones are included. A dynamic program does not run, but a static one starts
    without arguments: use it only for programs of the distribution.
    """
    environment = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_PRELOAD": ":".join(extensions), "PATH": "/usr/bin:/bin"}
    traced = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
    paths = []
    for line in traced.stdout.splitlines():
        name = line.split(_ADDRESS)[0].strip()
        path = name.split(" => ")[-1].strip()
        if path.startswith("/"):
            paths.append(path)
    return paths


def build_image(programs: Iterable[str], files: Iterable[str] = (), made: Mapping[str, tuple[bytes, int]] | None = None) -> bytes:
    """Return a tar of a root file system in which `programs` (names on PATH) run, at their paths on the host.

    files: other paths of the host to include. made: path → content and mode of additional files. Raises FileNotFoundError.
    """
    made = made or {}
    desired: dict[str, Path] = {}
    for name in programs:
        found = find_program(name)
        for path in (found, *list_libraries(found)):
            desired[path] = Path(path).resolve()
    desired.update({path: Path(path).resolve() for path in files})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in sorted({str(parent) for path in [*desired, *made] for parent in Path(path).parents if str(parent) != "/"}):
            entry = tarfile.TarInfo(folder.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, source in sorted(desired.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            status = os.stat(source)
            # Python uses a compiled module only when its source has the recorded time.
            entry.size, entry.mode, entry.mtime = status.st_size, 0o755, int(status.st_mtime)
            with source.open("rb") as handle:
                tar.addfile(entry, handle)
        for path, (content, mode) in sorted(made.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
