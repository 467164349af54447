# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's API over its unix socket: one kept connection, no `docker` command a question.

Paths carry no version, so each engine answers with its own newest (moby api/server/server.go: versionMiddleware).
"""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlencode

SOCKET = "/var/run/docker.sock"


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


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def be_patient(self, timeout: float) -> None:
        """How long the next answer may take, on a connection that is open already as on one to come."""
        self.timeout = timeout
        if self.sock is not None:
            self.sock.settimeout(timeout)


class Engine:
    """One engine, spoken to through the socket it listens on.

    socket: path of its unix socket. timeout: seconds that one answer may take.
    All calls raise EngineError when the engine refuses and EngineUnreachable when nothing answers.
    """

    def __init__(self, socket: str = SOCKET, timeout: float = 60) -> None:
        self.socket = socket
        self.timeout = timeout
        self._connection = _UnixConnection(socket, timeout)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that the engine answers to GET `path`; `query` values that are no text are sent as JSON (filters)."""
        return self._call("GET", path, query)

    def post(self, path: str, body: Any = None, content_type: str = "application/json", patience: float | None = None, **query: Any) -> Any:
        """POST `body`: bytes or a file as they are (`content_type` says what), anything else as JSON.

        patience: seconds that this answer may take, where that is not the engine's usual timeout.
        """
        return _decode(self._ask("POST", path, query, body, content_type, patience))

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
        return _decode(self._ask(method, path, query))

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
        self._connection.be_patient(patience or self.timeout)
        try:
            self._connection.request(method, target, body=body, headers=headers)
            answer = self._connection.getresponse()
            raw = answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()  # the next call connects anew
            raise EngineUnreachable(f"no engine answers on {self.socket}: {error or type(error).__name__}") from error
        if answer.status >= 400:
            content = _decode(raw)
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
