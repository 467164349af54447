# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded program contains the name of its module."""

from __future__ import annotations

import pytest

from faults import replay
from lab.errors import LabError


def test_the_name_of_a_module_is_read_from_its_program() -> None:
    program = b"module_fqn='ansible_collections.bulkhead.docker.plugins.modules.daemon_config',"
    assert replay.parse_module_name(program) == "daemon_config"
    assert replay.parse_module_name(b"module_fqn='ansible.modules.file',") == "file"
    with pytest.raises(LabError):
        replay.parse_module_name(b"print(1)")
