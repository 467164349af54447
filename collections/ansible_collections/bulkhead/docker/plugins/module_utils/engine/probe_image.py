# SPDX-License-Identifier: GPL-3.0-or-later
"""A container image put together from the host's own binaries: no registry, no network, nothing of other people's."""

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
    """Where a program of the distribution is. Raises FileNotFoundError."""
    found = shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if not found:
        raise FileNotFoundError(f"{program}: not found on this host; the probe's image is made from the host's own binaries and needs it")
    return found


def list_libraries(program: str, extensions: Iterable[str] = ()) -> list[str]:
    """The shared objects that `program` loads, as the dynamic loader resolves them (man 8 ld.so: LD_TRACE_LOADED_OBJECTS); none when it is static.

    extensions: shared objects that it opens by itself later, whose own ones are listed too.

    The program itself does not run, save a static one, which starts without arguments: ask only for programs of the distribution.
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
    """A tar of a root file system in which `programs` (names on PATH) run, at the paths that they have on the host.

    files: other paths of the host that go in. made: path → content and mode of what the host does not have.
    Raises FileNotFoundError for a program that the host does not have.
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
            # Python takes a compiled module only when it knows the source's time.
            entry.size, entry.mode, entry.mtime = status.st_size, 0o755, int(status.st_mtime)
            with source.open("rb") as handle:
                tar.addfile(entry, handle)
        for path, (content, mode) in sorted(made.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
