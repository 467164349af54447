# SPDX-License-Identifier: GPL-3.0-or-later
"""Leftovers of a killed run, which the next run removes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.background import CODE, OWNER, BackgroundRun, find_unpacked
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

DEAD, ALIVE = "77:1", "1:5"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "run").mkdir()
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/stat").write_text("1 (init) S " + " ".join(["0"] * 18) + " 5 0")
    return Host(tmp_path)


@pytest.mark.parametrize("code", [True, False, None], ids=["from an archive", "from files", "of an older version"])
def test_only_leftovers_of_interrupted_runs_are_removed(host: Host, tmp_path: Path, code: bool | None) -> None:
    for name, owner in (("dead", DEAD), ("alive", ALIVE)):
        job = tmp_path / f"run/bulkhead-attack-{name}"
        job.mkdir()
        (tmp_path / name).mkdir()
        (job / OWNER).write_text(owner)
        if code is not None:
            (job / CODE).write_text(str(tmp_path / name) if code else "")
    BackgroundRun(host, "new")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"bulkhead-attack-alive", "bulkhead-attack-new"}
    assert ((tmp_path / "dead").exists(), (tmp_path / "alive").exists()) == (not code, True)


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/tmp/ansible_b.d.attack_matrix_payload_x1/ansible_b.d.attack_matrix_payload.zip/ansible_collections/b/background.py",
         "/tmp/ansible_b.d.attack_matrix_payload_x1"),
        ("/usr/share/ansible/collections/ansible_collections/b/background.py", ""),
        ("/home/me/code.zip/background.py", ""),
    ],
)  # fmt: skip
def test_only_unpacked_archives_are_removed(path: str, folder: str) -> None:
    assert find_unpacked(path) == folder
