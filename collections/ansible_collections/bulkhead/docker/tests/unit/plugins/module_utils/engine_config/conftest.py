# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .fake_host import FakeHost, make_fake_host


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """Return a running engine with one running and one exited container."""
    return make_fake_host(tmp_path, monkeypatch)
