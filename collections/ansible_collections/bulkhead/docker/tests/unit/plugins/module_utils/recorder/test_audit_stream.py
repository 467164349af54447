# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit messages: missing numbers, and equal texts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.messages import Message
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import audit_stream
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.audit_stream import (
    MessageParser,
    Parsed,
    SerialCounter,
    generalise_access,
)


def test_numbers_out_of_order_are_not_missing() -> None:
    counter = SerialCounter()
    for serial in (10, 12, 11, 13, 13):
        counter.add(serial, 0.0)
    assert counter.take_lost(100.0) == 0


def test_missing_numbers_are_counted_after_some_seconds() -> None:
    counter = SerialCounter()
    for serial in (10, 13):
        counter.add(serial, 0.0)
    assert counter.take_lost(1.0) == 0
    assert counter.take_lost(11.0) == 2
    assert counter.take_lost(100.0) == 0


def test_a_large_hole_is_counted_without_memory() -> None:
    counter = SerialCounter()
    counter.add(1, 0.0)
    counter.add(100_002, 0.0)
    assert counter.missing == {}
    assert counter.take_lost(0.0) == 100_000


class FakeParser:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, message: Message) -> tuple[dict[str, Any], bool, int] | None:
        self.calls += 1
        if "apparmor" not in message.fields:
            return None
        pid = 0 if message.fields["operation"] == "signal" else int(message.fields["pid"])
        return {"path": message.fields["name"], "class": "file"}, message.fields["apparmor"] == "DENIED", pid


def build(serial: int, pid: int, verdict: str = "AUDIT", operation: str = "open") -> tuple[int, str]:
    head = f'audit(17.5:{serial}): apparmor="{verdict}" operation="{operation}" profile="docker-default//child"'
    return 1400, f'{head} name="/proc/123/status" pid={pid} comm="cat"'


def test_equal_texts_are_parsed_once() -> None:
    fake = FakeParser()
    parser = MessageParser(fake)
    expected = '{"class":"file","path":"@{PROC}/@{pid}/status"}'
    found = [parser.parse(build(serial, serial + 100), 1.0) for serial in (1, 2, 3)]
    assert found == [Parsed(expected, False, pid, "docker-default") for pid in (101, 102, 103)]
    assert parser.parse(build(4, 9, "DENIED"), 1.0) == Parsed(expected, True, 9, "docker-default")
    assert fake.calls == 2
    assert parser.serials.highest == 4


def test_a_process_that_is_unknown_stays_unknown() -> None:
    parser = MessageParser(FakeParser())
    found = [parser.parse(build(serial, 50, operation="signal"), 1.0) for serial in (1, 2)]
    assert [parsed.pid for parsed in found if parsed] == [0, 0]


def test_other_messages_are_ignored_but_numbered() -> None:
    fake = FakeParser()
    parser = MessageParser(fake)
    for serial in (1, 3):
        assert parser.parse((1300, f"audit(17.5:{serial}): arch=c000003e pid=5"), 0.0) is None
    assert parser.parse((1400, "no stamp pid=5"), 0.0) is None
    assert fake.calls == 0
    assert parser.serials.take_lost(60.0) == 1


def test_the_memory_of_texts_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_stream, "_MAX_CACHE", 10)
    fake = FakeParser()
    parser = MessageParser(fake)
    for number in range(1000):
        parser.parse((1400, f"audit(17.5:{number}): something={number} pid=5"), 0.0)
    assert fake.calls == 1000
    assert len(parser._known) <= 10


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ({"class": "file", "path": "/proc/7/stat", "mask": "r"}, {"class": "file", "path": "@{PROC}/@{pid}/stat", "mask": "r"}),
        ({"class": "mount", "operation": "mount", "source": "proc"}, {"class": "mount", "operation": "mount", "source": "proc"}),
        ({"class": "capability", "name": "chown"}, {"class": "capability", "name": "chown"}),
    ],
)
def test_paths_are_generalised(access: dict[str, Any], expected: dict[str, Any]) -> None:
    assert generalise_access(access) == expected
