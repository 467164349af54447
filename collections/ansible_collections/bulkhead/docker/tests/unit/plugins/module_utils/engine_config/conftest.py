# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .world import World, make_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a running engine with one running and one exited container."""
    return make_world(tmp_path, monkeypatch)
