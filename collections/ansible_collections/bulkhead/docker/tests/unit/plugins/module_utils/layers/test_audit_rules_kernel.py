# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.audit_loading import build_rule
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.audit_rules.kernel import Rule, parse_kernel, parse_rule

from .audit_host import answer, pack_rule, watch


def state(raw: bytes = b"", **more: Any) -> dict[str, Any]:
    return {"error": None, "kernel": base64.b64encode(zlib.compress(raw)).decode(), **more}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pack_rule([(105, 4), (106, 10)], b"/a/b"), Rule(4, 2, "/a/b", False, "wa")),
        (pack_rule([(107, 2), (106, 15), (210, 3)], b"/akey"), Rule(4, 2, "/a", True, "rwxa", "key")),
        (pack_rule([(210, 3), (105, 2)], b"key/a"), Rule(4, 2, "/a", False, "rwxa", "key")),
        (pack_rule([(18, 5), (105, 2)], b"/a"), Rule(4, 2, "/a", narrow=True)),  # AUDIT_PPID is a number
        (pack_rule([(112, 2), (105, 2)], b"/x/a"), Rule(4, 2, "/a", narrow=True)),  # AUDIT_EXE is a text
        (pack_rule([(11, 0xC000003E), (105, 2)], b"/a", mask=1), Rule(4, 2, "/a", narrow=True)),
        (pack_rule([(105, 2)], b"/a", mask=1), Rule(4, 2, "/a", narrow=True)),
        (pack_rule([(105, 2)], b"/a", operator=0x30000000), Rule(4, 2, narrow=True)),  # not this path
        (pack_rule([(12, 1300)], filter=5), Rule(5, 2, types=(1300,))),
        (pack_rule([], filter=1, action=0, mask=0), Rule(1, 0)),
    ],
)
def test_rules_of_the_kernel(data: bytes, expected: Rule) -> None:
    assert parse_rule(data) == expected


def test_a_managed_rule_has_the_key_and_no_other_condition() -> None:
    assert parse_rule(build_rule("/a", True)).is_managed
    assert not parse_rule(watch("/a")).is_managed
    assert not parse_rule(pack_rule([(105, 2), (106, 2), (210, 15)], b"/abulkhead-docker")).is_managed
    assert not parse_rule(pack_rule([(105, 2), (106, 10), (210, 15), (9, 0)], b"/abulkhead-docker")).is_managed
    assert not parse_rule(pack_rule([(106, 10), (210, 15)], b"bulkhead-docker")).is_managed


def test_state_and_rules_in_their_order() -> None:
    kernel = parse_kernel({"error": None, "kernel": answer([watch("/abc"), build_rule("/b", False)], 2, 77)})
    assert (kernel.enabled, kernel.receiver, [rule.path for rule in kernel.rules]) == (2, 77, ["/abc", "/b"])


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (state(error="Connection refused"), "Connection refused"),
        (state(), "did not report its state"),
        (state(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -1)), "Operation not permitted"),
        (state(struct.pack("=IHHII", 400, 1000, 0, 1, 0)), "is incomplete"),
        (state(struct.pack("=IHHII", 16, 1000, 0, 1, 0)), "is not understood"),
        (state(struct.pack("=IHHII", 16, 1013, 0, 1, 0)), "is not understood"),
        (state(kernel="YQ=="), "is not understood"),
    ],
)
def test_an_answer_that_is_not_understood_is_an_error(known: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_kernel(known)
