# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of the audit socket ends, also where messages never cease."""

from __future__ import annotations

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

    def recv(self, unused: int) -> bytes:
        time.sleep(0.01)
        text = f"message {next(self._numbers)}".encode()
        return struct.pack("=IHHII", 16 + len(text), 1400, 0, 0, 0) + text

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
