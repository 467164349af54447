# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's API, with a fake engine on a socket."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import api
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import Engine, EngineError, EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance


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
def test_error_has_the_engines_message(engine: Engine, path: str, status: int, message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        engine.get(path)
    assert caught.value.status == status
    assert engine.get("/info"), "the connection can be used again"


def test_query_values_are_sent_as_json_or_text(engine: Engine) -> None:
    engine.get("/containers/json", all=True, filters={"label": ["a=b"]}, name="x y")
    assert Answers.seen[-1][1] == "/containers/json?all=true&filters=%7B%22label%22%3A+%5B%22a%3Db%22%5D%7D&name=x+y"


def test_bodies_are_sent_as_json_or_bytes(engine: Engine) -> None:
    engine.post("/containers/create", {"Image": "x"})
    assert json.loads(Answers.seen[-1][2]) == {"Image": "x"}
    engine.post("/images/create", b"tar", content_type="application/x-tar")
    assert Answers.seen[-1][2] == b"tar"


def test_one_answer_may_take_longer(engine: Engine) -> None:
    engine.get("/info")
    engine.timeout = 0.1
    assert engine.post("/slow", patience=5) is None
    with pytest.raises(EngineUnreachable, match="timed out"):
        engine.post("/slow")


def test_a_connection_that_the_engine_may_have_ended_is_not_used(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "timeout", 0.1)  # of a connection without a call
    monkeypatch.setattr(api, "_IDLE_SECONDS", 0.05)
    assert engine.get("/info")
    time.sleep(0.3)
    assert engine.get("/info"), "it connects again"


def test_missing_socket_is_unreachable(tmp_path: Path) -> None:
    engine = Engine(str(tmp_path / "none.sock"))
    assert engine.is_up() is False
    with pytest.raises(EngineUnreachable, match=r"no engine answers on .*none\.sock"):
        engine.get("/info")


def test_socket_of_another_user_is_rejected(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "link.sock").symlink_to(tmp_path / "docker.sock")
    link = str(tmp_path / "link.sock")
    own, other = Instance("u", os.geteuid(), os.getegid(), "/home/u"), Instance("v", os.geteuid() + 1, os.getegid(), "/home/v")
    assert Engine.for_instance(own, 5, link).get("/info") and Engine.for_instance(ROOTFUL, 5, link).get("/info")
    Answers.seen = []
    for instance in (other, Instance("nobody-knows", None, None, "/home/w")):
        with pytest.raises(EngineUnreachable, match=f"user {os.geteuid()} listens there instead of user"):
            Engine.for_instance(instance, 5, link).post("/containers/x/stop")
    assert Answers.seen == []


def test_socket_of_each_instance() -> None:
    assert Engine.for_instance(ROOTFUL).socket == "/var/run/docker.sock"
    assert Engine.for_instance(Instance("u", 990, 991, "/home/u")).socket == "/run/user/990/docker.sock"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def imposter(path: Path, *pieces: bytes, pause: float = 0, times: int = 1, timeout: float = 30) -> Engine:
    """A listener that answers any request with `pieces`, the last of them `times` times."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def talk() -> None:
        while True:
            peer, _address = listener.accept()
            try:
                peer.recv(1 << 16)
                for piece in (*pieces[:-1], *pieces[-1:] * times):
                    peer.sendall(piece)
                    time.sleep(pause)
            except OSError:
                pass
            peer.close()

    threading.Thread(target=talk, daemon=True).start()
    return Engine(str(path), timeout=timeout)


@pytest.mark.parametrize("head", [b"", HEAD + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"])
def test_answer_in_single_bytes_times_out(tmp_path: Path, head: bytes) -> None:
    engine, began = imposter(tmp_path / "s", head, b"1", pause=0.05, times=10_000, timeout=0.2), time.monotonic()
    with pytest.raises(EngineUnreachable, match=r"timed out|takes too long"):
        engine.get("/info")
    assert time.monotonic() - began < 4


def test_budget_limits_all_answers_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imposter(tmp_path / "s", HEAD + b"Content-Length: 2\r\n\r\n{}")
    engine = Engine(str(tmp_path / "s"), timeout=30, budget=60)
    assert engine.get("/info") == {}
    later = time.monotonic() + 60
    monkeypatch.setattr(api, "time", SimpleNamespace(monotonic=lambda: later))
    with pytest.raises(EngineUnreachable, match="takes too long"):
        engine.get("/info")


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"\r\n",
        HEAD + b"Content-Length: 99999999\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999999999\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
    ],
)
def test_answer_above_the_size_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(api, "LIMIT", 1 << 20)
    engine = imposter(tmp_path / "s", head, b"1" * (1 << 16), times=1000)
    with pytest.raises(EngineUnreachable, match="more than 1 MiB"):
        engine.get("/info")


def test_truncated_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachable, match="IncompleteRead"):
        imposter(tmp_path / "s", HEAD + b"Content-Length: 99\r\n\r\n{}").get("/info")


@pytest.mark.parametrize("body", [b"[" * 200_000, b"[" * 100 + b"]" * 100, b"{}\n" + b"[" * 200_000])
def test_deeply_nested_answer_is_an_error(tmp_path: Path, body: bytes) -> None:
    engine = imposter(tmp_path / "s", HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    with pytest.raises(EngineUnreachable, match="its JSON has more than"):
        engine.get("/info")


def test_large_and_late_answers_are_read(tmp_path: Path) -> None:
    listed = json.dumps([{"Id": "1" * 64, "Names": ["/x"]}] * 100_000).encode()
    assert len(imposter(tmp_path / "s", HEAD + b"Content-Length: %d\r\n\r\n" % len(listed) + listed).get("/containers/json")) == 100_000
    # What waits for a container has its head at once, and its body when the container ends.
    late = imposter(tmp_path / "t", HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n", pause=0.15)
    assert late.post("/containers/x/wait") == {}
