# SPDX-License-Identifier: GPL-3.0-or-later
"""Which module a recorded program is."""

from __future__ import annotations

import pytest

from faults import played
from lab.errors import LabError


def test_a_module_is_told_by_its_program() -> None:
    ours = b"module_fqn='ansible_collections.bulkhead.docker.plugins.modules.daemon_config',"
    assert played.module_of(ours) == "daemon_config"
    assert played.module_of(b"module_fqn='ansible.modules.file',") == "file"
    with pytest.raises(LabError):
        played.module_of(b"print(1)")
