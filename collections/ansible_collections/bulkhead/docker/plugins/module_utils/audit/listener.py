# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the kernel's audit messages from the audit netlink socket while they are sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from .netlink import NETLINK_AUDIT, READLOG, parse_datagram

_GRACE = 2.0  # seconds after a stop: messages may never cease, as those of a recorder


class Listener:
    """Receives wanted messages (type and text) from construction until `stop`. error: why none can be received. The socket is not rate-limited."""

    def __init__(self, is_wanted: Callable[[int, str], bool]) -> None:
        self.error = ""
        self._is_wanted = is_wanted
        self._messages: list[tuple[int, str]] = []
        self._stop = threading.Event()
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
        if not self.error:
            self._stop.set()
            self._thread.join()
            self._socket.close()
        return self._messages

    def _listen(self) -> None:
        end = None
        while end is None or time.monotonic() < end:
            if end is None and self._stop.is_set():
                end = time.monotonic() + _GRACE
            try:
                self._messages += [found for found in parse_datagram(self._socket.recv(1 << 16)) if self._is_wanted(*found)]
            except TimeoutError:
                if self._stop.is_set():
                    return
            except OSError as error:  # ENOBUFS: some were lost
                self.error = f"some of the kernel's audit messages were lost: {error.strerror}"
