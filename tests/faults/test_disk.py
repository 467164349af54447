# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk that forgets: what was flushed stays, what was not is lost, wholly or in part."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from faults.disk import ROOM, VolatileDisk

BLOCK = 4096


class Client:
    """As much of an NBD client as qemu is to the server."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        assert self._read(18)[:8] == b"NBDMAGIC"
        self.socket.sendall(struct.pack(">IQII", 3, 0x49484156454F5054, 7, 0))
        kinds = []
        while 1 not in kinds:
            _magic, _option, kind, length = struct.unpack(">QIII", self._read(20))
            data = self._read(length)
            kinds.append(kind)
            if kind == 3:
                assert struct.unpack(">HQH", data)[1] == ROOM

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            chunk = self.socket.recv(length - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def _ask(self, kind: int, offset: int = 0, length: int = 0, data: bytes = b"") -> None:
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, length) + data)
        assert struct.unpack(">IIQ", self._read(16)) == (0x67446698, 0, 7)

    def write(self, block: int, letter: bytes) -> None:
        self._ask(1, block * BLOCK, BLOCK, letter * BLOCK)

    def read(self, block: int) -> bytes:
        self._ask(0, block * BLOCK, BLOCK)
        return self._read(BLOCK)

    def flush(self) -> None:
        self._ask(3)


@pytest.fixture
def disk(tmp_path: Path) -> VolatileDisk:
    (tmp_path / "disk").write_bytes(b"0" * BLOCK)
    return VolatileDisk(tmp_path / "disk", tmp_path / "nbd.sock")


def content(disk: VolatileDisk, blocks: int) -> str:
    with disk.path.open("rb") as file:
        return "".join(chr(file.read(BLOCK)[0]) for unused in range(blocks))


def test_a_cut_loses_what_was_not_flushed(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    client.write(0, b"a")
    client.flush()
    client.write(0, b"b")
    client.write(0, b"c")
    client.write(1, b"d")
    assert client.read(0) == b"c" * BLOCK
    client.socket.close()
    assert disk.cut() == (3, 3)
    assert content(disk, 2) == "a\0"


def test_a_cut_may_lose_some_of_it_in_any_order(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    for block in range(64):
        client.write(block, b"x")
    client.socket.close()
    written, lost = disk.cut(random.Random(1))
    assert written == 64
    assert 0 < lost < 64
    assert content(disk, 64).count("x") == 64 - lost


def test_an_end_without_a_cut_loses_nothing(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    client.write(1, b"d")
    client.socket.close()
    disk.close()
    assert content(disk, 2) == "0d"


def test_the_disk_is_deaf_from_the_write_that_was_waited_for(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    client.write(0, b"a")
    client.flush()
    done: list[bool] = []
    waiting = threading.Thread(target=lambda: done.append(disk.await_write(2, 30)))
    waiting.start()
    while not disk.awaited:
        time.sleep(0.01)
    client.write(0, b"b")
    with pytest.raises(EOFError):  # no answer any more
        client.write(1, b"c")
    waiting.join()
    assert done == [True]
    assert disk.cut() == (2, 2)
    assert content(disk, 2) == "a\0"


def test_a_write_that_does_not_come_in_time_ends_nothing(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    assert not disk.await_write(1, 0.01)
    client.write(0, b"a")
    client.write(1, b"b")
    client.socket.close()
    assert disk.cut() == (2, 2)
