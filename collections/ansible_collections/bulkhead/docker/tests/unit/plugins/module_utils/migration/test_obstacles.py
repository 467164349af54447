# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps containers from starting under userns-remap. The plan's tests cover the rest (test_userns_switch.py)."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.migration import obstacles
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.ids import IdMaps

IDS = IdMaps([[0, 231072, 65536]], [[0, 231072, 65536]])


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ({}, ""),
        ({"Privileged": True}, "--privileged"),
        ({"NetworkMode": "host"}, "--network host"),
        ({"PidMode": "host"}, "--pid host"),
        ({"IpcMode": "host"}, "--ipc host"),
        ({"UTSMode": "host", "CgroupnsMode": "host"}, ""),  # measured: such containers start
        ({"Privileged": True, "UsernsMode": "host"}, ""),
    ],
)
def test_options_that_the_engine_rejects_under_remap(host: dict[str, Any], why: str) -> None:
    assert obstacles.find_unsupported_option({}, host) == why


@pytest.mark.parametrize(
    ("user", "why"), [("65535:65535", ""), ("", ""), ("app", ""), ("65536", "--user 65536"), ("app:65536", "--user app:65536")]
)
def test_users_outside_of_the_map(user: str, why: str) -> None:
    assert obstacles.find_unsupported_option({"User": user}, {}, IDS) == why
