# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that loses at a power cut what the guest has not flushed, as a drive with a volatile cache does.

The lab's other disks are started with cache=unsafe: what a guest has written is in the control node's page cache and survives the end of
qemu, flushed or not. Here qemu speaks NBD (https://github.com/NetworkBlockDevice/nbd, doc/proto.md) to the server in this file. The server
writes through and keeps the previous content until the guest's next flush. At a power cut it restores that content: for all writes since the
flush, or for some of them, as a drive does that writes its cache in its own order.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from pathlib import Path
from typing import IO, cast

_MAGIC, _OPTION_MAGIC, _REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_OPT_EXPORT_NAME, _OPT_ABORT, _OPT_INFO, _OPT_GO = 1, 2, 6, 7
_REP_ACK, _REP_INFO, _REP_UNSUPPORTED = 1, 3, 0x80000001
_HAS_FLAGS, _SEND_FLUSH = 1, 4
_REQUEST, _REPLY = 0x25609513, 0x67446698
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
# A qcow2 file grows, an NBD export does not: the export is as large as the file can become. The file is sparse.
EXPORT_SIZE = 24 << 30


class VolatileDisk:
    """A server of one file for one qemu, on a Unix socket.

    path: the qcow2 file. socket_path: the socket that qemu connects to.
    """

    def __init__(self, path: Path, socket_path: Path) -> None:
        self.path = path
        os.truncate(path, max(EXPORT_SIZE, path.stat().st_size))
        self._file = os.open(path, os.O_RDWR)
        self._pending: list[tuple[int, bytes, bytes]] = []  # offset, new, old: since the last flush
        self.writes = 0
        self.awaited = 0  # the number of the last write that is accepted; 0 for no limit
        self._reached = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        socket_path.unlink(missing_ok=True)
        # Through /proc the path fits into sun_path's 107 bytes however deep the folder is.
        folder = os.open(socket_path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self._listener.bind(f"/proc/self/fd/{folder}/{socket_path.name}")
        finally:
            os.close(folder)
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def wait_for_write(self, further: int, timeout: float) -> bool:
        """Accept that many further writes, then no request at all. Return whether they came in time (seconds); if not, the disk keeps working."""
        self.awaited = self.writes + further
        if self._reached.wait(timeout):
            return True
        self.awaited = 0
        return self._reached.is_set()

    def drop_unflushed(self, chance: random.Random | None = None) -> tuple[int, int]:
        """Drop what was not flushed. Return the number of writes since the last flush, and how many of them were lost.

        qemu must have ended. chance: decides for each write whether it is lost; without it all are lost.
        """
        self._thread.join(60)
        for offset, _new, old in reversed(self._pending):
            os.pwrite(self._file, old, offset)
        kept = [(offset, new) for offset, new, _old in self._pending if chance is not None and chance.random() < 0.5]
        for offset, new in kept:
            os.pwrite(self._file, new, offset)
        self.close()
        return len(self._pending), len(self._pending) - len(kept)

    def close(self) -> None:
        """Stop the server and keep what was written."""
        self._listener.close()
        self._thread.join(60)
        os.close(self._file)

    def _serve(self) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError:
            return
        with connection, cast(IO[bytes], connection.makefile("rwb", buffering=1 << 20)) as stream:
            try:
                if _Handshake(stream).negotiate():
                    self._transmit(stream)
            except (OSError, EOFError, struct.error, ValueError):
                return  # qemu has ended in the middle of a request

    def _transmit(self, stream: IO[bytes]) -> None:
        while True:
            head = stream.read(28)
            if len(head) < 28:
                return
            magic, _flags, kind, cookie, offset, length = struct.unpack(">IHHQQI", head)
            if magic != _REQUEST or kind == _DISCONNECT:
                return
            payload = b""
            if kind == _READ:
                payload = os.pread(self._file, length, offset)
                payload += bytes(length - len(payload))
            elif kind == _WRITE:
                data = stream.read(length)
                if len(data) < length:
                    return
                old = os.pread(self._file, length, offset)
                self._pending.append((offset, data, old + bytes(length - len(old))))
                os.pwrite(self._file, data, offset)
                self.writes += 1
                if self.writes == self.awaited:
                    self._reached.set()
                    return
            elif kind == _FLUSH:
                self._pending = []
            stream.write(struct.pack(">IIQ", _REPLY, 0, cookie) + payload)
            stream.flush()


class _Handshake:
    """The part of the fixed newstyle negotiation that qemu uses."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read, self.write, self.flush = stream.read, stream.write, stream.flush

    def negotiate(self) -> bool:
        """Return whether the client wants transmission to start."""
        self.write(struct.pack(">QQH", _MAGIC, _OPTION_MAGIC, 3))  # fixed newstyle, no zeroes
        self.flush()
        self.read(4)
        while True:
            head = self.read(16)
            if len(head) < 16:
                return False
            _magic, option, length = struct.unpack(">QII", head)
            self.read(length)
            if option == _OPT_EXPORT_NAME:
                self.write(struct.pack(">QH", EXPORT_SIZE, _HAS_FLAGS | _SEND_FLUSH))
                self.flush()
                return True
            if option in (_OPT_GO, _OPT_INFO):
                self._reply(option, _REP_INFO, struct.pack(">HQH", 0, EXPORT_SIZE, _HAS_FLAGS | _SEND_FLUSH))
                self._reply(option, _REP_ACK)
                if option == _OPT_GO:
                    return True
            elif option == _OPT_ABORT:
                self._reply(option, _REP_ACK)
                return False
            else:
                self._reply(option, _REP_UNSUPPORTED)

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        self.write(struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data)
        self.flush()
