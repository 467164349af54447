# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner's image: the host's Python with the required part of its library, the runner, and one setuid program."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

from ..engine.probe_image import build_image, find_program, list_libraries
from . import attacks_host, attacks_kernel, calls, runner

PYTHON = "python3"
SETUID = "/usr/bin/bulkhead-setuid"
FOLDER = "/usr/lib/bulkhead"
_ID = "id"
_IMPORTS = "ctypes, contextlib, errno, json, os, select, signal, socket, stat, struct, time"
# Lists the files of all modules that Python loads for these imports, with extensions and compiled files.
_ASK = f"""
import __future__, collections.abc, encodings.utf_8, typing, {_IMPORTS}, sys
files = [getattr(m, "__file__", None) for m in list(sys.modules.values())] + [getattr(m, "__cached__", None) for m in list(sys.modules.values())]
print(json.dumps([f for f in files if f and os.path.exists(f)]))
"""


def build_command(entry: str = "runner.main") -> list[str]:
    """Return the command of a container: Python in isolated mode, which ignores the environment. entry: module and function."""
    start = f"import sys; sys.path.insert(0, {FOLDER!r}); from attack import {entry.partition('.')[0]}; {entry}()"
    return [find_program(PYTHON), "-I", "-S", "-B", "-c", start]


def build_archive(*more: ModuleType) -> bytes:
    """Return the root file system of the image as an archive. more: other modules for it.

    Raises FileNotFoundError, OSError, subprocess.SubprocessError."""
    asked = subprocess.run([find_program(PYTHON), "-I", "-S", "-c", _ASK], capture_output=True, text=True, timeout=120, check=True)
    files = set(json.loads(asked.stdout))
    files.update(list_libraries(find_program(PYTHON), sorted(path for path in files if path.endswith(".so"))))
    files_made = {}
    for name in (module.__name__ for module in (calls, attacks_host, attacks_kernel, runner, *more)):
        files_made[f"{FOLDER}/attack/{name.rsplit('.', 1)[1]}.py"] = (_read_source(name), 0o644)
    files_made[f"{FOLDER}/attack/__init__.py"] = (b"", 0o644)
    files_made[SETUID] = (Path(find_program(_ID)).read_bytes(), 0o4755)
    return build_image([PYTHON, _ID], sorted(files), files_made)


def _read_source(name: str) -> bytes:
    """Return the source text of a module, from a file or from the archive that Ansible sends."""
    spec = importlib.util.find_spec(name)
    text = spec.loader.get_source(name) if spec and spec.loader and hasattr(spec.loader, "get_source") else None
    if not text:
        raise FileNotFoundError(f"{name}: its source cannot be found")
    return str(text).encode()
