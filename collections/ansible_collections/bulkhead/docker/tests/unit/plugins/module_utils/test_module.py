# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.module import make_readable


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain ä", "plain ä"),
        (b"dockremap\xff:1".decode("utf-8", "surrogateescape"), "dockremap\\xff:1"),
        ("\ud800", "\\ud800"),
        ({"\udcfe": ["\udcff", 1, None, True]}, {"\\xfe": ["\\xff", 1, None, True]}),
        (("a", {"b": "\udcff"}), ["a", {"b": "\\xff"}]),
    ],
)
def test_make_readable(value: Any, expected: Any) -> None:
    assert make_readable(value) == expected
    json.dumps(make_readable(value), ensure_ascii=False).encode("utf-8")
