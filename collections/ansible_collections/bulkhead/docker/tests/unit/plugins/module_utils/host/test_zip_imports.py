# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module imports from Ansible's zip file after host/root.py is compiled once, and is otherwise as Python imports it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import root

# Prints how often each file was compiled, and the names that the modules have.
SCRIPT = """
import collections, importlib, json, sys, zipimport
counts, compile_source = collections.Counter(), zipimport._compile_source
def count(path, source):
    counts[path.rpartition(".zip/")[2]] += 1
    return compile_source(path, source)
zipimport._compile_source = count
sys.path.insert(0, sys.argv[1])
found = {}
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    found[name] = [module.__file__, list(getattr(module, "__path__", []))]
try:
    importlib.import_module("plain.absent")
except ModuleNotFoundError as error:
    found["plain.absent"] = str(error)
print(json.dumps([counts, found]))
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "payload.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("root.py", Path(root.__file__).read_text(encoding="utf-8"))
        for name in ("plain/__init__.py", "plain/leaf.py", "plain/inner/__init__.py", "plain/inner/leaf.py"):
            file.writestr(name, "number = 1\n")
    return path


def run_imports(archive: Path, *names: str) -> list[dict[str, object]]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(archive), *names], capture_output=True, text=True, check=True)
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


MODULES = ("plain.leaf", "plain.inner.leaf", "plain", "plain.inner")
FILES = ("plain/__init__.py", "plain/leaf.py", "plain/inner/__init__.py", "plain/inner/leaf.py")


def test_each_file_is_compiled_once(archive: Path) -> None:
    counts = run_imports(archive, "root", *MODULES)[0]
    assert {name: counts[name] for name in FILES} == dict.fromkeys(FILES, 1)


def test_modules_have_the_names_that_python_gives_them(archive: Path) -> None:
    found, pythons = run_imports(archive, "root", *MODULES)[1], run_imports(archive, *MODULES)[1]
    assert {name: found[name] for name in (*MODULES, "plain.absent")} == pythons


def test_importers_stay_as_they_are_without_a_zip_file() -> None:
    assert not any(getattr(hook, "__module__", "") == root.__name__ for hook in sys.path_hooks)
