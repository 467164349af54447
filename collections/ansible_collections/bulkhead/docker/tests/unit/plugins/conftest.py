# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures shared by the unit tests of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Return a host whose file system is an empty folder. A test module that needs files in it overrides this fixture."""
    return Host(tmp_path)
