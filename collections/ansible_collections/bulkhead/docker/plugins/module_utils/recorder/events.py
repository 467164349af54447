# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the events of an engine over its unix socket without waiting, and counts them for instances.

The request is HTTP/1.0, so that the answer is not in chunks (net/http/server.go of Go): one JSON object per line until the connection ends.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..engine.api import get_listener_uid
from ..engine.instance import Instance
from .store import RecordedContainer

_CONNECT_TIMEOUT = 5.0  # seconds
_PIECE = 1 << 16
MAX_LINE = 1 << 20  # bytes of one event; labels and the command of an exec are in it
_ACTIONS = ("create", "start", "die", "stop", "kill", "restart", "health_status", "oom", "destroy", "rename")


@dataclass(frozen=True)
class Event:
    """One event of a container. action: without what follows the colon. command: of an exec. time: seconds since the epoch."""

    id: str
    action: str
    command: str
    attributes: Mapping[str, Any]
    time: float


def parse_event(line: bytes) -> Event | None:
    """Return the event in a line; None for one that is not of a container, or not an event."""
    try:
        data = json.loads(line)
        if data.get("Type") != "container":
            return None
        action, actor = str(data["Action"]), data["Actor"]
        moment = float(data.get("timeNano") or 0) / 1e9 or float(data["time"])
        attributes = actor.get("Attributes") or {}
        name, _colon, command = action.partition(": ")
        return Event(str(actor["ID"]), name, command, attributes, moment)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class EventBuffer:
    """Splits the bytes of an answer into events. status: of the answer, 0 until it has arrived."""

    def __init__(self) -> None:
        self.status = 0
        self.dropped = 0
        self._rest = b""

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that are complete with this piece. A line that is too long is dropped and counted."""
        data = self._rest + piece
        if not self.status:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = data[:MAX_LINE]
                return []
            words = head.split(None, 2)
            self.status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 500
            data = rest
        lines = data.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_LINE:
            self._rest = b""
            self.dropped += 1
        return [event for line in lines if (event := parse_event(line))]


class EventStream:
    """An open connection to `/events` of one engine. Raises OSError while it connects; `read` raises it when the connection has ended."""

    def __init__(self, path: str, since: float, uid: int | None = None) -> None:
        self.buffer = EventBuffer()
        self.last = since
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_CONNECT_TIMEOUT)
            self._socket.connect(path)
            owner = get_listener_uid(self._socket)
            if uid not in (None, owner):
                raise OSError(f"user {owner} listens on {path} instead of user {uid}")
            filters = quote(json.dumps({"type": ["container"]}))
            self._socket.sendall(f"GET /events?since={since:.9f}&filters={filters} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> list[Event]:
        """Return the events that have arrived, each one once. Raises OSError when the connection has ended."""
        try:
            piece = self._socket.recv(_PIECE)
        except BlockingIOError:
            return []
        if not piece:
            raise ConnectionResetError("the engine has closed the connection")
        events = [event for event in self.buffer.feed(piece) if event.time > self.last]
        if self.buffer.status >= 400:
            raise ConnectionError(f"the engine answers with status {self.buffer.status}")
        if events:
            self.last = max(event.time for event in events)
        return events

    def close(self) -> None:
        self._socket.close()


def apply_event(instance: RecordedContainer, event: Event, health_commands: Iterable[str]) -> None:
    """Count an event of an instance. A start after an end is a restart, however it came about.

    Health checks are execs too (moby daemon/health.go); their command tells them from others.
    """
    counted = instance.events
    match event.action:
        case "create":
            counted["start_seen"] = True  # its first start, in which it may do what it does only once
        case "start":
            counted["starts"] += 1
            counted["restarts"] += instance.ended
            instance.running, instance.ended, instance.started = True, False, event.time
        case "die":
            instance.running, instance.ended = False, True
        case "destroy":
            instance.running = False
        case "stop":
            counted["stops"] += 1
        case "oom":
            counted["oom"] += 1
        case "exec_start":
            counted["health_checks" if event.command in health_commands else "execs"] += 1
        case "rename":
            instance.about["name"] = str(event.attributes.get("name") or instance.about.get("name"))
    instance.touch(event.time)


def find_users_engine(path: str | None, engine: Instance) -> tuple[str, int | None]:
    """Return the socket of an engine, and the user who has to listen there; None for any."""
    if engine.rootless:
        return engine.socket, engine.uid
    return path or engine.socket, None
