# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's API, against a socket of our own that answers as the engine does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import Engine, EngineError, EngineUnreachable


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, bytes]] = []  # noqa: RUF012 (shared on purpose: one server a test)

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, body))
        status, text = {
            "/info": (200, b'{"ServerVersion": "26"}'),
            "/gone": (404, b'{"message": "No such container: gone"}'),
            "/broken": (500, b"panic"),
            "/empty": (204, b""),
            "/slow": (204, b""),
            "/progress": (200, b'{"status": "x"}\n{"status": "sha256:1"}\n'),
        }.get(self.path.split("?")[0], (200, b"{}"))
        if self.path == "/slow":
            time.sleep(0.5)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    Answers.seen = []
    server = Server(str(tmp_path / "docker.sock"), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    engine = Engine(str(tmp_path / "docker.sock"), timeout=5)
    yield engine
    engine.close()
    server.shutdown()
    server.server_close()


def test_answers_are_decoded(engine: Engine) -> None:
    assert engine.get("/info") == {"ServerVersion": "26"}
    assert engine.get("/empty") is None
    assert engine.get("/progress") == [{"status": "x"}, {"status": "sha256:1"}]


@pytest.mark.parametrize(("path", "status", "message"), [("/gone", 404, "No such container: gone"), ("/broken", 500, "panic")])
def test_a_no_of_the_engine_has_its_own_words(engine: Engine, path: str, status: int, message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        engine.get(path)
    assert caught.value.status == status
    assert engine.get("/info"), "the connection can be used again"


def test_filters_are_sent_as_json_and_texts_as_they_are(engine: Engine) -> None:
    engine.get("/containers/json", all=True, filters={"label": ["a=b"]}, name="x y")
    assert Answers.seen[-1][1] == "/containers/json?all=true&filters=%7B%22label%22%3A+%5B%22a%3Db%22%5D%7D&name=x+y"


def test_bodies(engine: Engine) -> None:
    engine.post("/containers/create", {"Image": "x"})
    assert json.loads(Answers.seen[-1][2]) == {"Image": "x"}
    engine.post("/images/create", b"tar", content_type="application/x-tar")
    assert Answers.seen[-1][2] == b"tar"


def test_one_answer_may_take_longer_than_others(engine: Engine) -> None:
    engine.timeout = 0.1
    engine.get("/info")
    assert engine.post("/slow", patience=5) is None
    with pytest.raises(EngineUnreachable, match="timed out"):
        engine.post("/slow")


def test_nobody_there(tmp_path: Path) -> None:
    engine = Engine(str(tmp_path / "none.sock"))
    assert engine.ping() is False
    with pytest.raises(EngineUnreachable, match=r"no engine answers on .*none\.sock"):
        engine.get("/info")
