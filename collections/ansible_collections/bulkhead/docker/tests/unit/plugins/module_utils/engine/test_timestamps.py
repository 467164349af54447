# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's times."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.timestamps import parse_timestamp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("yesterday", None),
        ("no timeZ", None),
        ("2025-11-24T16:00:00.123456789Z", pytest.approx(1764000000.123456)),
        ("2025-11-24T16:00:00Z", 1764000000),
        ("2025-11-24T17:00:00.5+01:00", 1764000000.5),
    ],
)
def test_parse_timestamp(text: str, expected: float | None) -> None:
    assert parse_timestamp(text) == expected
