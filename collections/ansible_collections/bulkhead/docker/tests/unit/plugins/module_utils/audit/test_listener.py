# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of the audit socket ends, also where messages never cease, and after some were lost."""

from __future__ import annotations

import errno
import itertools
import socket
import struct
import time
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.listener import Listener


class Endless:
    """A socket with a new message at each call, numbered from 0."""

    def __init__(self, *unused: int) -> None:
        self._numbers = itertools.count()
        self.is_closed = False

    def recv(self, unused: int) -> bytes:
        time.sleep(0.01)
        text = f"message {next(self._numbers)}".encode()
        return struct.pack("=IHHII", 16 + len(text), 1400, 0, 0, 0) + text

    def close(self) -> None:
        self.is_closed = True

    def __getattr__(self, name: str) -> Any:
        return lambda *unused: None


def test_a_stop_ends_although_messages_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", Endless)
    listener = Listener(lambda kind, text: text.endswith("0"))
    began = time.monotonic()
    found = listener.stop()
    assert time.monotonic() - began < 10
    assert found[0] == (1400, "message 0")
    assert all(text.endswith("0") for unused, text in found)


class Losing(Endless):
    """A socket that loses its second message."""

    def recv(self, unused: int) -> bytes:
        message = super().recv(unused)
        if message.endswith(b" 1"):
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return message


def test_a_stop_after_a_loss_closes_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Losing] = []

    def open_socket(*unused: int) -> Losing:
        opened.append(Losing())
        return opened[0]

    monkeypatch.setattr(socket, "socket", open_socket)
    listener = Listener(lambda kind, text: True)
    found = listener.stop()
    assert "were lost" in listener.error
    assert (1400, "message 2") in found
    assert opened[0].is_closed
