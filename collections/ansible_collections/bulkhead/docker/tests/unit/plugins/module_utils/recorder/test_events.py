# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of an engine: how they arrive, and what they count."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import events
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.events import (
    Event,
    EventBuffer,
    EventStream,
    apply_event,
    parse_event,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.store import RecordedContainer

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"


def line(action: str, at: float = 10.0, **attributes: str) -> bytes:
    data = {"Type": "container", "Action": action, "Actor": {"ID": "a" * 64, "Attributes": attributes}, "timeNano": int(at * 1e9)}
    return json.dumps(data).encode() + b"\n"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"Type": "network"}', b'{"Type": "container", "Action": "start"}', b'{"Type": "container", "Actor": null}']
)
def test_other_lines_are_not_events(raw: bytes) -> None:
    assert parse_event(raw) is None


def test_the_command_of_an_exec_is_split_off() -> None:
    event = parse_event(line("exec_start: /bin/sh -c a: b", name="web"))
    assert event == Event("a" * 64, "exec_start", "/bin/sh -c a: b", {"name": "web"}, 10.0)


def test_events_arrive_in_any_pieces() -> None:
    raw = HEAD + line("create") + line("start", 11)
    for size in (1, 7, 1000):
        buffer = EventBuffer()
        found = [event for at in range(0, len(raw), size) for event in buffer.feed(raw[at : at + size])]
        assert [event.action for event in found] == ["create", "start"]
        assert buffer.status == 200


def test_a_line_that_is_too_long_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_LINE", 1000)
    buffer = EventBuffer()
    buffer.feed(HEAD)
    assert buffer.feed(b"x" * 2000) == []
    assert [event.action for event in buffer.feed(b"\n" + line("start"))] == ["start"]
    assert buffer.dropped == 1


def count(actions: list[str], health: list[str] | None = None, before: dict[str, Any] | None = None) -> RecordedContainer:
    instance = RecordedContainer("a" * 64, **(before or {}))
    for at, action in enumerate(actions):
        event = parse_event(line(action, float(at + 1)))
        assert event
        apply_event(instance, event, health or [])
    return instance


def test_a_restart_is_a_start_after_an_end() -> None:
    found = count(["create", "start", "kill", "die", "stop", "start", "restart", "die", "start"])
    assert {key: found.events[key] for key in ("starts", "stops", "restarts")} == {"starts": 3, "stops": 1, "restarts": 2}
    assert found.running
    assert found.events["start_seen"]
    assert (found.first, found.last, found.started) == (1.0, 9.0, 9.0)


def test_health_checks_are_not_execs() -> None:
    found = count(
        [
            "exec_create: pg_isready -q",
            "exec_start: pg_isready -q",
            "exec_die",
            "exec_create: sh",
            "exec_start: sh",
            "health_status: healthy",
        ],
        ["pg_isready -q"],
    )
    assert (found.events["health_checks"], found.events["execs"]) == (1, 1)


def test_an_end_and_oom() -> None:
    found = count(["start", "oom", "die", "destroy"])
    assert (found.events["oom"], found.running, found.ended) == (1, False, True)


def test_a_start_before_the_recorder_is_not_seen() -> None:
    found = count(["exec_start: ls"], before={"running": True})
    assert not found.events["start_seen"]


def serve(path: Path, answer: bytes, requests: list[bytes]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)

    def run() -> None:
        link = listener.accept()[0]
        requests.append(link.recv(4096))
        link.sendall(answer)
        link.close()
        listener.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_stream_returns_each_event_once(tmp_path: Path) -> None:
    requests: list[bytes] = []
    thread = serve(tmp_path / "docker.sock", HEAD + line("create", 5) + line("start", 6) + line("die", 7), requests)
    stream = EventStream(str(tmp_path / "docker.sock"), 5.5)
    thread.join()
    found = [event.action for event in stream.read()]
    assert found == ["start", "die"]
    assert stream.last == 7
    with pytest.raises(ConnectionResetError):
        stream.read()
    stream.close()
    assert requests[0].startswith(b"GET /events?since=5.500000000&filters=")


def test_an_error_of_the_engine_ends_the_stream(tmp_path: Path) -> None:
    thread = serve(tmp_path / "docker.sock", b"HTTP/1.0 500 Internal\r\n\r\n{}\n", [])
    stream = EventStream(str(tmp_path / "docker.sock"), 0)
    thread.join()
    with pytest.raises(ConnectionError, match="status 500"):
        stream.read()
    stream.close()


def test_a_socket_of_another_user_is_rejected(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "docker.sock"))
    listener.listen(1)
    with pytest.raises(OSError, match="instead of user 4242"):
        EventStream(str(tmp_path / "docker.sock"), 0, 4242)
    listener.close()
