# SPDX-License-Identifier: GPL-3.0-or-later
"""The volatile disk keeps what was flushed and loses the rest, all of it or a part."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from faults.disk import EXPORT_SIZE, VolatileDisk

BLOCK = 4096


class Client:
    """An NBD client that uses the part of the protocol that qemu uses."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        assert self._receive(18)[:8] == b"NBDMAGIC"
        self.socket.sendall(struct.pack(">IQII", 3, 0x49484156454F5054, 7, 0))
        kinds = []
        while 1 not in kinds:
            _magic, _option, kind, length = struct.unpack(">QIII", self._receive(20))
            data = self._receive(length)
            kinds.append(kind)
            if kind == 3:
                assert struct.unpack(">HQH", data)[1] == EXPORT_SIZE

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            chunk = self.socket.recv(length - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def _request(self, kind: int, offset: int = 0, length: int = 0, data: bytes = b"") -> None:
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, length) + data)
        assert struct.unpack(">IIQ", self._receive(16)) == (0x67446698, 0, 7)

    def write_block(self, block: int, letter: bytes) -> None:
        self._request(1, block * BLOCK, BLOCK, letter * BLOCK)

    def read_block(self, block: int) -> bytes:
        self._request(0, block * BLOCK, BLOCK)
        return self._receive(BLOCK)

    def flush(self) -> None:
        self._request(3)


@pytest.fixture
def disk(tmp_path: Path) -> VolatileDisk:
    (tmp_path / "disk").write_bytes(b"0" * BLOCK)
    return VolatileDisk(tmp_path / "disk", tmp_path / "nbd.sock")


def read_letters(disk: VolatileDisk, blocks: int) -> str:
    with disk.path.open("rb") as file:
        return "".join(chr(file.read(BLOCK)[0]) for unused in range(blocks))


def test_a_power_cut_loses_what_was_not_flushed(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    client.write_block(0, b"a")
    client.flush()
    client.write_block(0, b"b")
    client.write_block(0, b"c")
    client.write_block(1, b"d")
    assert client.read_block(0) == b"c" * BLOCK
    client.socket.close()
    assert disk.drop_unflushed() == (3, 3)
    assert read_letters(disk, 2) == "a\0"


def test_a_power_cut_can_lose_some_writes_in_any_order(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    for block in range(64):
        client.write_block(block, b"x")
    client.socket.close()
    written, lost = disk.drop_unflushed(random.Random(1))
    assert written == 64
    assert 0 < lost < 64
    assert read_letters(disk, 64).count("x") == 64 - lost


def test_closing_the_disk_loses_nothing(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    client.write_block(1, b"d")
    client.socket.close()
    disk.close()
    assert read_letters(disk, 2) == "0d"


def test_the_disk_accepts_nothing_after_the_awaited_write(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    client.write_block(0, b"a")
    client.flush()
    done: list[bool] = []
    waiting = threading.Thread(target=lambda: done.append(disk.wait_for_write(2, 30)))
    waiting.start()
    while not disk.awaited:
        time.sleep(0.01)
    client.write_block(0, b"b")
    with pytest.raises(EOFError):  # no answer any more
        client.write_block(1, b"c")
    waiting.join()
    assert done == [True]
    assert disk.drop_unflushed() == (2, 2)
    assert read_letters(disk, 2) == "a\0"


def test_the_disk_keeps_working_after_a_timeout(disk: VolatileDisk) -> None:
    client = Client(disk.path.parent / "nbd.sock")
    assert not disk.wait_for_write(1, 0.01)
    client.write_block(0, b"a")
    client.write_block(1, b"b")
    client.socket.close()
    assert disk.drop_unflushed() == (2, 2)
