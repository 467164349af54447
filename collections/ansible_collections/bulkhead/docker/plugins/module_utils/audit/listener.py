# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the kernel's audit messages from the audit netlink socket while they are sent."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable

from .netlink import NETLINK_AUDIT, READLOG, parse_datagram

_GRACE = 2.0  # seconds after a stop: messages may never cease, as those of a recorder


class Listener:
    """Receives selected messages (type and text) from construction until `stop`. Unlike the kernel's log, the socket is not rate-limited.

    error: why none, or not all, can be received.
    """

    def __init__(self, is_selected: Callable[[int, str], bool]) -> None:
        self.error = ""
        self._is_selected = is_selected
        self._messages: list[tuple[int, str]] = []
        self._end = math.inf
        self._thread: threading.Thread | None = None
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._socket.settimeout(0.2)
            self._socket.bind((0, READLOG))
        except OSError as error:
            self.error = f"the kernel's audit messages cannot be read: {error.strerror}"
            return
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> list[tuple[int, str]]:
        """Return type and text of each received message."""
        if self._thread:
            self._end = time.monotonic() + _GRACE
            self._thread.join()
            self._socket.close()
        return self._messages

    def _listen(self) -> None:
        while time.monotonic() < self._end:
            try:
                self._messages += [found for found in parse_datagram(self._socket.recv(1 << 16)) if self._is_selected(*found)]
            except TimeoutError:
                if self._end < math.inf:
                    return
            except OSError as error:  # ENOBUFS: some were lost
                self.error = f"some of the kernel's audit messages were lost: {error.strerror}"
