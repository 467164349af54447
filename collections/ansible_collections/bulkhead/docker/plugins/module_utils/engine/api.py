# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's API over its unix socket, on one kept connection and without the `docker` command.

Paths have no version, so each engine answers with its newest (moby api/server/server.go: versionMiddleware).
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from http.client import HTTPConnection, HTTPException, IncompleteRead
from typing import Any
from urllib.parse import quote, urlencode

from .instance import Instance

SOCKET = "/var/run/docker.sock"
LIMIT = 64 << 20  # bytes of one answer; a list of 10,000 containers has some 15 MB
_DEPTH = 64  # of lists and objects in an answer; moby's own have about ten
_IDLE_SECONDS = 60.0  # between calls on one connection; engine 20.10 ends it after 5 minutes
_WHOLE_FACTOR = 5  # the whole answer may take so many timeouts of a piece


class EngineError(Exception):
    """The engine answered with an error. status: HTTP status. message: the engine's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class EngineUnreachable(OSError):
    """No engine answers on the socket."""


class _Socket(socket.socket):
    """Waits `patience` seconds for a piece, and until `until` (monotonic) for the whole, so that an answer in single bytes ends."""

    patience = until = math.inf

    def recv_into(self, *arguments: Any) -> int:
        self._wait()
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self._wait()
        super().sendall(*arguments)

    def _wait(self) -> None:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self.settimeout(min(self.patience, left))


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float, uid: int | None) -> None:
        super().__init__("docker", timeout=timeout)
        self.path, self.uid, self.patience, self.until = path, uid, timeout, math.inf
        self.sock: _Socket | None

    def set_limits(self, patience: float, until: float) -> None:
        """Limit the next answers: seconds per piece, and the time by which all of one has to arrive."""
        self.patience, self.until = patience, until
        if self.sock:
            self.sock.patience, self.sock.until = patience, until

    def connect(self) -> None:
        self.sock = _Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.patience, self.sock.until = self.patience, self.until
        self.sock.settimeout(self.patience)
        self.sock.connect(self.path)
        uid = get_listener_uid(self.sock)
        if self.uid not in (None, uid):
            raise OSError(f"user {uid} listens there instead of user {self.uid}; check whether the socket is a link")


def get_listener_uid(link: socket.socket) -> int:
    """Return the user who listens on a unix socket (man 7 unix, SO_PEERCRED): it may be a link to another engine's."""
    return int(struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])  # pid, uid, gid


class Engine:
    """A client of one engine.

    socket: path of its unix socket. timeout: seconds per piece of an answer; the whole may take five times as long. budget: seconds for all
    answers together. uid: the user that must own the engine, None for any.
    All calls raise EngineError, EngineUnreachable.
    """

    def __init__(self, socket: str = SOCKET, timeout: float = 60, uid: int | None = None, budget: float = math.inf) -> None:
        self.socket = socket
        self.timeout = timeout
        self._until = time.monotonic() + budget
        self._idle_until = 0.0
        self._connection = _UnixConnection(socket, timeout, uid)
        self.info: Any = None  # what observe_engine read of `/info`

    @classmethod
    def for_instance(cls, instance: Instance, timeout: float = 60, socket: str | None = None) -> Engine:
        """Return a client of `instance`, at its default socket or at another one of the same user."""
        return cls(socket or instance.socket, timeout, (-1 if instance.uid is None else instance.uid) if instance.rootless else None)

    def move_to(self, socket: str) -> None:
        """Use another socket of the same engine, which was found, so only the engine's own user may listen there."""
        if socket != self.socket:
            self.socket = self._connection.path = socket
            self._connection.uid = self._connection.uid or 0
            self._connection.close()

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON answer to GET `path`; `query` values that are not texts are sent as JSON."""
        return self._call("GET", path, query)

    def get_within(self, patience: float, path: str) -> Any:
        """Return the JSON answer to GET `path`. patience: seconds per piece of this answer, if that is less than `timeout`."""
        return self._decoded(self._ask("GET", path, {}, patience=min(patience, self.timeout)))

    def post(self, path: str, body: Any = None, content_type: str = "application/json", patience: float | None = None, **query: Any) -> Any:
        """POST `body` and return the answer. Bytes and files need a `content_type`, anything else is sent as JSON.

        patience: seconds per piece of this answer, instead of `timeout`.
        """
        return self._decoded(self._ask("POST", path, query, body, content_type, patience))

    def read(self, path: str, **query: Any) -> bytes:
        """Return the raw answer to GET `path`."""
        return self._ask("GET", path, query)

    def delete(self, path: str, **query: Any) -> Any:
        """Send DELETE `path` and return the answer."""
        return self._call("DELETE", path, query)

    def is_up(self) -> bool:
        """Return whether an engine answers."""
        try:
            self._call("GET", "/_ping", {})
        except (EngineError, EngineUnreachable):
            return False
        return True

    def close(self) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, query: dict[str, Any]) -> Any:
        return self._decoded(self._ask(method, path, query))

    def _decoded(self, raw: bytes) -> Any:
        try:
            content = _decode(raw)
            deep = _is_deep(content)
        except RecursionError:
            deep = True
        if deep:
            raise EngineUnreachable(f"{self.socket}: the answer is not an engine's, its JSON has more than {_DEPTH} levels")
        return content

    def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        body: Any = None,
        content_type: str = "application/json",
        patience: float | None = None,
    ) -> bytes:
        target = quote(path)
        if query:
            target += "?" + urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()})
        headers = {}
        if body is not None:
            headers["Content-Type"] = content_type
            if content_type == "application/json":
                body = json.dumps(body).encode()
        patience = patience or self.timeout
        if time.monotonic() > self._idle_until:
            self._connection.close()
        self._connection.set_limits(patience, min(time.monotonic() + _WHOLE_FACTOR * patience, self._until))
        try:
            self._connection.request(method, target, body=body, headers=headers)
            answer = self._connection.getresponse()
            raw = answer.read(LIMIT + 1)
            if len(raw) > LIMIT:
                raise OSError(f"the answer has more than {LIMIT >> 20} MiB")
            if answer.length:  # `read` with a size reports no early end
                raise IncompleteRead(raw, answer.length)
        except (OSError, HTTPException, ValueError, OverflowError, MemoryError) as error:  # invalid or huge lengths
            self._connection.close()
            raise EngineUnreachable(f"no engine answers on {self.socket}: {error or type(error).__name__}") from error
        self._idle_until = time.monotonic() + _IDLE_SECONDS
        if answer.status >= 400:
            content = self._decoded(raw)
            message = content.get("message") if isinstance(content, dict) else content
            raise EngineError(answer.status, str(message or answer.reason).strip())
        return raw


def _decode(raw: bytes) -> Any:
    """Return JSON as data, several lines of JSON (progress of an import) as a list, anything else as text, and None when empty."""
    text = raw.decode("utf-8", "replace").strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return text


def _is_deep(content: Any) -> bool:
    """Return whether the answer has more levels than its readers can process by recursion."""
    level = [content]
    for _depth in range(_DEPTH):
        level = [
            item for outer in level if isinstance(outer, list | dict) for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
