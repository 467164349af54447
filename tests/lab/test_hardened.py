# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files make a new snapshot of a hardened machine, and which old ones are removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lab import hardened, paths


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in hardened.INPUTS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "." in path.name:
            path.write_text(name)
        else:
            path.mkdir()
            (path / "file.yml").write_text(name)
    return tmp_path


def test_inputs_exist_in_this_repository() -> None:
    assert all((paths.REPOSITORY / name).exists() for name in hardened.INPUTS)


def test_content_mode_and_new_files_change_the_hash(repository: Path) -> None:
    hashes = [hardened.hash_inputs(repository)]
    role = repository / hardened.COLLECTION / "roles/file.yml"
    for change in (lambda: role.write_text("other"), lambda: role.chmod(0o755), lambda: role.with_name("new.yml").write_text("")):
        change()
        hashes.append(hardened.hash_inputs(repository))
    assert len(set(hashes)) == 4


def test_compiled_files_and_other_files_do_not_change_the_hash(repository: Path) -> None:
    before = hardened.hash_inputs(repository)
    (repository / hardened.COLLECTION / "plugins/module.pyc").write_text("")
    (repository / "README.md").write_text("")
    assert hardened.hash_inputs(repository) == before


def test_old_snapshots_of_the_image_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "cache_dir", lambda: tmp_path)
    folders = [tmp_path / "trixie-1" / f"hardened-{number}" for number in range(4)]
    for age, folder in enumerate(folders):
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - 60 * age,) * 2)
    hardened.prune_snapshots(folders[3] / "ready.qcow2")
    assert [folder.exists() for folder in folders] == [True, False, False, True]
