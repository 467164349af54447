# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the compiled code of Ansible's modules in a machine of a scenario.

Ansible sends a module as a zip archive of sources, and the host compiles all of them at each run. On an emulated processor that is about a
third of a run. A .pth file imports this at each start of Python (docs.python.org, site). The code is found by its source, so it is always
that of the module which was sent. `make demo`, `make bench` and `make vm-up` do without.
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import zipimport
from types import CodeType

FOLDER = "/var/cache/compiled-modules"  # only root reads and writes it
_compile_source = zipimport._compile_source


def load_or_compile(path: str, source: bytes) -> CodeType:
    """Return the code of a source in an archive, as `zipimport` does, and keep it."""
    kept = f"{FOLDER}/{sys.implementation.cache_tag}-{_imp.source_hash(0, source).hex()}-{len(source)}"
    try:
        with open(kept, "rb") as handle:
            return marshal.load(handle)
    except (OSError, EOFError, ValueError, TypeError):
        code = _compile_source(path, source)
    try:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        with open(f"{kept}.{os.getpid()}", "wb") as handle:
            marshal.dump(code, handle)
        os.replace(f"{kept}.{os.getpid()}", kept)
    except OSError:
        pass
    return code


if os.geteuid() == 0:
    zipimport._compile_source = load_or_compile
