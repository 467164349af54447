# SPDX-License-Identifier: GPL-3.0-or-later
"""The program dockerd, without running it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import program

from .programs import write_dockerd


@pytest.mark.parametrize(("key", "expected"), [("default-address-pools", True), ("default-pids-limit", False)])
def test_contains_text(tmp_path: Path, key: str, expected: bool) -> None:
    assert program.contains_text(write_dockerd(tmp_path, "true"), key) is expected


def test_program_of_the_unit_comes_first(tmp_path: Path) -> None:
    own = write_dockerd(tmp_path, "true")
    assert program.find_dockerd(own) == own
    assert program.find_dockerd("/nowhere/dockerd") in (None, *program.PLACES)
