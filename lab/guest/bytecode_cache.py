# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the bytecode of modules that Python imports from a zip file, as it does on its own for modules in folders, and asks for it once.

Ansible sends each module with its imports as a zip file, and Python compiles all of it in every run. On an emulated processor
that is half of the time of a module run. A file of ``bytecode_cache.pth`` imports this module in each Python of the machine.
"""

from __future__ import annotations

import _imp
import gc
import marshal
import os
import sys
import zipimport
from types import CodeType

FOLDER = f"/var/cache/lab-bytecode/{sys.implementation.cache_tag}"
# Objects. What is imported stays in use, so a search for garbage finds none. It takes a sixth of the time of `ansible -m ping`.
GC_THRESHOLD = 100_000
_KEY = 0x6C61622D62797465

_compile_source = zipimport._compile_source  # type: ignore[attr-defined]


def load(pathname: str, source: bytes) -> CodeType:
    """Return the compiled source, from the cache if it is there. Only root can write the cache, and a damaged file counts as missing."""
    gc.set_threshold(GC_THRESHOLD)
    cached = f"{FOLDER}/{_imp.source_hash(_KEY, source).hex()}-{len(source)}"
    try:
        with open(cached, "rb") as file:
            code = marshal.loads(file.read())  # marshal.load calls `readinto` for every few bytes
        if isinstance(code, CodeType):
            return code
    except (OSError, EOFError, ValueError, TypeError):
        pass
    code = _compile_source(pathname, source)
    try:
        os.makedirs(FOLDER, exist_ok=True)
        with open(f"{cached}.{os.getpid()}", "wb") as new:
            marshal.dump(code, new)
        os.replace(new.name, cached)
    except OSError:
        pass
    return code


def get_filename(importer: zipimport.zipimporter, fullname: str) -> str:
    """Return the file name of a module without compiling it. Python's own method compiles each module a first time for that."""
    stem = f"{importer.archive}/{importer.prefix}{fullname.rpartition('.')[2]}"
    return f"{stem}/__init__.py" if importer.is_package(fullname) else f"{stem}.py"


zipimport._compile_source = load  # type: ignore[attr-defined]
zipimport.zipimporter.get_filename = get_filename  # type: ignore[assignment, method-assign]
