# SPDX-License-Identifier: GPL-3.0-or-later
"""The program dockerd, without running it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import program


def _dockerd(folder: Path, script: str) -> str:
    program = folder / "dockerd"
    program.write_text(f"#!/bin/sh\n# default-address-pools\n{script}\n")
    program.chmod(0o755)
    for parent in (folder, *folder.parents[:-2]):
        parent.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(("key", "expected"), [("default-address-pools", True), ("default-pids-limit", False)])
def test_contains_text(tmp_path: Path, key: str, expected: bool) -> None:
    assert program.contains_text(_dockerd(tmp_path, "true"), key) is expected


def test_program_of_the_unit_comes_first(tmp_path: Path) -> None:
    own = _dockerd(tmp_path, "true")
    assert program.find_dockerd(own) == own
    assert program.find_dockerd("/nowhere/dockerd") in (None, *program.PLACES)
