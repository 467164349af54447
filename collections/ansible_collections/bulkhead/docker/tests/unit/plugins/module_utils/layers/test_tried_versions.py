# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the versions of a host were tried."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.tried_versions import TRIED, list_untried


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("engine", "26.1.5+dfsg1", ""),
        ("engine", "20.10.24+dfsg1", ""),
        ("engine", "20.10.5", ""),  # a correction
        ("engine", "29.7.9", ""),
        ("engine", "29.8.0", "Docker Engine 29.8.0 is newer than 29.7.2, the newest that was tried"),
        ("engine", "30.0.0", "Docker Engine 30.0.0 is newer than 29.7.2, the newest that was tried"),
        ("engine", "19.03.15", "Docker Engine 19.03.15 is older than 20.10.24, the oldest that was tried"),
        ("engine", "", ""),
        ("engine", "master-dev", ""),
        ("containerd", "v2.2.1", ""),
        ("containerd", "v2.10.0", "containerd v2.10.0 is newer than 2.3.4, the newest that was tried"),
        ("kernel", "7.2.12+deb14-cloud-amd64", ""),
        ("kernel", "5.15.0-91-generic", "Linux 5.15.0-91-generic is older than 6.1, the oldest that was tried"),
        ("systemd", "262 (262-1)", ""),
        ("systemd", "262.3", ""),
        ("systemd", "263~rc1", "systemd 263~rc1 is newer than 262, the newest that was tried"),
        ("systemd", "249 (249.11)", "systemd 249 (249.11) is older than 252, the oldest that was tried"),
        ("youki", "0.1", ""),
    ],
)
def test_versions_outside_of_the_table_are_named(name: str, version: str, expected: str) -> None:
    assert list_untried({name: version}) == ([expected] if expected else [])


def test_the_table_itself_was_tried() -> None:
    for row in TRIED:
        assert list_untried({row.name: row.oldest}) == list_untried({row.name: row.newest}) == []
