# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of bytecode in machines: it returns what Python compiles, whatever is in its folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lab import recipe
from lab.paths import GUEST_FILES

RUN = """
import sys
sys.path[:0] = [{guest!r}, {archive!r}]
import bytecode_cache
bytecode_cache.FOLDER = {folder!r}
{before}
import subject
print(subject.VALUE)
"""
FAIL_TO_COMPILE = "bytecode_cache._compile_source = None"


class Cache:
    """A zip file with one module, and the folder of the cache."""

    def __init__(self, folder: Path) -> None:
        self.archive = folder / "payload.zip"
        self.folder = folder / "cache"

    def run(self, value: str, before: str = "") -> subprocess.CompletedProcess[str]:
        with zipfile.ZipFile(self.archive, "w") as archive:
            archive.writestr("subject.py", f"VALUE = {value!r}\n")
        program = RUN.format(guest=str(GUEST_FILES), archive=str(self.archive), folder=str(self.folder), before=before)
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def test_a_second_run_compiles_nothing(cache: Cache) -> None:
    assert cache.run("one").stdout == "one\n"
    assert len(cache.files()) == 1
    assert cache.run("one", FAIL_TO_COMPILE).stdout == "one\n"
    assert cache.run("two", FAIL_TO_COMPILE).returncode == 1


def test_a_changed_module_is_compiled(cache: Cache) -> None:
    assert [cache.run(value).stdout for value in ("one", "two", "one")] == ["one\n", "two\n", "one\n"]
    assert len(cache.files()) == 2


@pytest.mark.parametrize("content", [b"", b"\0", b"i\1\0\0\0", b"\xe3\0\0"])
def test_a_damaged_file_is_written_again(cache: Cache, content: bytes) -> None:
    cache.run("one")
    file = cache.files()[0]
    whole = file.read_bytes()
    file.write_bytes(content)
    assert cache.run("one").stdout == "one\n"
    assert cache.files()[0].read_bytes() == whole


def test_a_user_who_cannot_write_compiles(cache: Cache) -> None:
    cache.folder.write_text("not a folder")
    assert cache.run("one").stdout == "one\n"


def test_machines_get_the_cache() -> None:
    text = recipe.create_recipe("trixie").settle_script
    assert (GUEST_FILES / "bytecode_cache.py").read_text(encoding="utf-8") in text
    assert "BYTECODE_CACHE" not in text
