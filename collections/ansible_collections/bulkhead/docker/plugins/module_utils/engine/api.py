# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's API over its unix socket: one kept connection, no `docker` command a question.

Paths carry no version, so each engine answers with its own newest (moby api/server/server.go: versionMiddleware).
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
LIMIT = 64 << 20  # bytes of one answer; an inspection has some kB, a list of 10,000 containers some 15 MB
_DEPTH = 64  # of lists and objects in an answer; moby's own have about ten
_PATIENCE = 5  # how many times the time for a piece of an answer the whole of it may take: what a layer's import says comes bit by bit


class EngineError(Exception):
    """The engine answered, and its answer is no.

    status: HTTP status. message: the engine's own sentence.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class EngineUnreachable(OSError):
    """Nothing answers on the socket."""


class _Socket(socket.socket):
    """Waits `patience` seconds for a piece, until the moment `until` (monotonic) at most: an answer in single bytes would never end."""

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
            raise TimeoutError("the answer does not come to an end")
        self.settimeout(min(self.patience, left))


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float, uid: int | None) -> None:
        super().__init__("docker", timeout=timeout)
        self.path, self.uid, self.patience, self.until = path, uid, timeout, math.inf
        self.sock: _Socket | None

    def expect(self, patience: float, until: float) -> None:
        """How long each piece of the next answer may take, and until when all of it; on a connection that is open already as on one to come."""
        self.patience, self.until = patience, until
        if self.sock:
            self.sock.patience, self.sock.until = patience, until

    def connect(self) -> None:
        self.sock = _Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.patience, self.sock.until = self.patience, self.until
        self.sock.settimeout(self.patience)
        self.sock.connect(self.path)
        # Who listens (man 7 unix, SO_PEERCRED: pid, uid, gid): a user may have put a link to another engine's socket in the place of his.
        uid = struct.unpack("3i", self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        if self.uid not in (None, uid):
            raise OSError(f"user {uid} listens there, and not user {self.uid}, whose engine is meant; see whether the socket is a link")


class Engine:
    """One engine, spoken to through the socket it listens on.

    socket: path of its unix socket. timeout: seconds that one piece of an answer may take, the whole of it some more. budget: seconds for all answers
    together. uid: whose engine it has to be, None for anybody's.
    All calls raise EngineError when the engine refuses and EngineUnreachable when nothing answers.
    """

    def __init__(self, socket: str = SOCKET, timeout: float = 60, uid: int | None = None, budget: float = math.inf) -> None:
        self.socket = socket
        self.timeout = timeout
        self._until = time.monotonic() + budget
        self._connection = _UnixConnection(socket, timeout, uid)

    @classmethod
    def for_instance(cls, instance: Instance, timeout: float = 60, socket: str | None = None) -> Engine:
        """The engine of `instance`: at its usual socket, or at another one of the same user's."""
        return cls(socket or instance.socket, timeout, (-1 if instance.uid is None else instance.uid) if instance.rootless else None)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that the engine answers to GET `path`; `query` values that are no text are sent as JSON (filters)."""
        return self._call("GET", path, query)

    def post(self, path: str, body: Any = None, content_type: str = "application/json", patience: float | None = None, **query: Any) -> Any:
        """POST `body`: bytes or a file as they are (`content_type` says what), anything else as JSON.

        patience: seconds that this answer may take, where that is not the engine's usual timeout.
        """
        return self._decoded(self._ask("POST", path, query, body, content_type, patience))

    def read(self, path: str, **query: Any) -> bytes:
        """What the engine answers to GET `path`, as it is (logs, archives)."""
        return self._ask("GET", path, query)

    def delete(self, path: str, **query: Any) -> Any:
        return self._call("DELETE", path, query)

    def ping(self) -> bool:
        """Whether an engine answers."""
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
            raise EngineUnreachable(f"what answers on {self.socket} is no engine: its JSON is nested more than {_DEPTH} deep")
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
        self._connection.expect(patience, min(time.monotonic() + _PATIENCE * patience, self._until))
        try:
            self._connection.request(method, target, body=body, headers=headers)
            answer = self._connection.getresponse()
            raw = answer.read(LIMIT + 1)
            if len(raw) > LIMIT:
                raise OSError(f"the answer has more than {LIMIT >> 20} MiB")
            if answer.length:  # unlike the whole, a part is read without a word when it ends too early
                raise IncompleteRead(raw, answer.length)
        except (OSError, HTTPException, ValueError, OverflowError, MemoryError) as error:  # lengths that are none, or beyond all measure
            self._connection.close()  # the next call connects anew
            raise EngineUnreachable(f"no engine answers on {self.socket}: {error or type(error).__name__}") from error
        if answer.status >= 400:
            content = self._decoded(raw)
            message = content.get("message") if isinstance(content, dict) else content
            raise EngineError(answer.status, str(message or answer.reason).strip())
        return raw


def _decode(raw: bytes) -> Any:
    """JSON where it is JSON; several JSON lines (progress of an import) become a list; text otherwise; None when empty."""
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
    """Whether it is nested deeper than whoever reads it later can bear."""
    level = [content]
    for _depth in range(_DEPTH):
        level = [
            item for outer in level if isinstance(outer, list | dict) for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
