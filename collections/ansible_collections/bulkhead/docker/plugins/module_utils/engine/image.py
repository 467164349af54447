# SPDX-License-Identifier: GPL-3.0-or-later
"""A container image put together from the host's own binaries: no registry, no network, nothing of other people's."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

# How the dynamic loader names a library: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, itself: `/lib64/ld-linux-x86-64.so.2 (0x…)`.
_ADDRESS = " (0x"


def find(program: str) -> str:
    """Where a program of the distribution is. Raises FileNotFoundError."""
    found = shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if not found:
        raise FileNotFoundError(f"{program}: not found on this host; the canary's image is made from the host's own binaries and needs it")
    return found


def libraries(program: str) -> list[str]:
    """The shared objects that `program` loads, as the dynamic loader resolves them (man 8 ld.so: LD_TRACE_LOADED_OBJECTS); none when it is static.

    The program itself does not run, save a static one, which starts without arguments: ask only for programs of the distribution.
    """
    environment = {"LD_TRACE_LOADED_OBJECTS": "1", "PATH": "/usr/bin:/bin"}
    traced = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
    paths = []
    for line in traced.stdout.splitlines():
        name = line.split(_ADDRESS)[0].strip()
        path = name.split(" => ")[-1].strip()
        if path.startswith("/"):
            paths.append(path)
    return paths


def build(programs: Iterable[str]) -> bytes:
    """A tar of a root file system in which `programs` (names on PATH) run, at the paths that they have on the host.

    Raises FileNotFoundError for a program that the host does not have.
    """
    wanted: dict[str, Path] = {}
    for name in programs:
        found = find(name)
        for path in (found, *libraries(found)):
            wanted[path] = Path(path).resolve()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in sorted({str(parent) for path in wanted for parent in Path(path).parents if str(parent) != "/"}):
            entry = tarfile.TarInfo(folder.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, source in sorted(wanted.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = os.stat(source).st_size, 0o755
            with source.open("rb") as handle:
                tar.addfile(entry, handle)
    return buffer.getvalue()
