# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a program for a host in one file, from modules of this collection."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
import zipfile

_ROOT = "bulkhead"  # the name of module_utils in the program
_IMPORT = re.compile(r"^[ \t]*from[ \t]+(\.+)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)", re.MULTILINE)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip archive can have
_MAIN = "import sys\nfrom {root}.{start} import main\nsys.exit(main())\n"


def build_archive(start: str) -> tuple[bytes, str]:
    """Return a program as a zip archive that Python runs, and its version: a hash of its content. start: the module with `main`."""
    sources = collect_sources(start)
    version = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(sources.items())).encode()).hexdigest()[:16]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted({**sources, "__main__.py": _MAIN.format(root=_ROOT, start=start)}.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue(), version


def collect_sources(start: str) -> dict[str, str]:
    """Return path -> source of the program's modules, and of all that they import of this collection.

    Inside the archive that Ansible sends, a file cannot be opened, but its loader returns its source.
    """
    above = __name__.rpartition(".host.")[0]
    found: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        path = f"{_ROOT}/{name.replace('.', '/')}.py"
        text = "" if path in found else _read_source(f"{above}.{name}")
        if not text:
            continue
        found[path] = text
        for depth in range(name.count(".") + 1):
            found.setdefault("/".join([_ROOT, *name.split(".")[:depth], "__init__.py"]), "")
        for base, names in find_imports(name, text):
            waiting += [base] if _read_source(f"{above}.{base}") else [f"{base}.{each}".lstrip(".") for each in names]
    return found


def find_imports(name: str, text: str) -> list[tuple[str, list[str]]]:
    """Return base and names of the relative imports of a module, of which the base is below module_utils. name: of the module, likewise."""
    found = []
    for dots, base, imported in _IMPORT.findall(text):
        parent = name.split(".")[: -len(dots)]
        names = [word.split()[0] for word in imported.strip("()\n ").split(",") if word.strip()]
        found.append((".".join([*parent, *filter(None, base.split("."))]), names))
    return found


def _read_source(name: str) -> str:
    """Return the source of a module; empty for a package, and for a name that is not a module."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is not None or not hasattr(spec.loader, "get_source"):
        return ""
    # The loader of Ansible's controller returns bytes.
    source: str | bytes = spec.loader.get_source(name) or ""  # type: ignore[union-attr]
    return source.decode() if isinstance(source, bytes) else source
