# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that two sockets of a host cannot share: one rule for the plan, and for the check on the host."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened import obstacles
from ansible_collections.bulkhead.docker.plugins.plugin_utils.hardened import ports


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("8080:80", "8080:81", True),
        ("127.0.0.1:8080:80", "8080:80", True),
        ("127.0.0.1:8080:80", "127.0.0.2:8080:80", False),
        ("[::1]:8080:80", "127.0.0.1:8080:80", False),
        ("[0:0::1]:8080:80", "[::1]:8080:80", True),
        ("8080:80/udp", "8080:80", False),
        ("0:80", "0:80", False),
    ],
)
def test_ports_that_two_sockets_cannot_share(one: str, other: str, shared: bool) -> None:
    pairs = [(a, b) for a in obstacles.list_published(one) for b in obstacles.list_published(other)]
    assert any(obstacles.is_port_conflict(*pair) for pair in pairs) is shared
    entries = [{"name": "a", "ports": [one]}, {"name": "b", "ports": [other]}]
    assert bool(list(ports.find_conflicts(entries))) is shared
