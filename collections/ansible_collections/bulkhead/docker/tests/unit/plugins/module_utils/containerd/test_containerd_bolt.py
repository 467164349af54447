# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading databases of containerd."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.bolt import BoltError, _hash, open_database

SIZE = 4096


class Database:
    """Builds a database: dictionaries become buckets. inline: whether small buckets are part of their parent's page."""

    def __init__(self, content: dict[str, Any], inline: bool = True, keys_per_page: int = 1000) -> None:
        self.pages: list[bytes] = [b"", b"", struct.pack("<QHHI", 2, 0x10, 0, 0)]
        self.inline, self.keys_per_page = inline, keys_per_page
        self.root = self.add_tree(content)

    def add_tree(self, content: dict[str, Any]) -> int:
        entries = [(key.encode(), *self.encode(value)) for key, value in sorted(content.items())]
        leaves = [entries[at : at + self.keys_per_page] for at in range(0, len(entries), self.keys_per_page)] or [[]]
        numbers = [(leaf[0][0] if leaf else b"", self.add_page(self.build_leaf(leaf))) for leaf in leaves]
        if len(numbers) == 1:
            return numbers[0][1]
        head, body = b"", b""
        for place, (key, number) in enumerate(numbers):
            head += struct.pack("<IIQ", (len(numbers) - place) * 16 + len(body), len(key), number)
            body += key
        return self.add_page(struct.pack("<QHHI", 0, 1, len(numbers), 0) + head + body)

    def encode(self, value: Any) -> tuple[bytes, int]:
        if isinstance(value, bytes):
            return value, 0
        small = self.inline and all(isinstance(item, bytes) for item in value.values())
        if small:
            entries = [(key.encode(), item, 0) for key, item in sorted(value.items())]
            return struct.pack("<QQ", 0, 0) + self.build_leaf(entries), 1
        return struct.pack("<QQ", self.add_tree(value), 0), 1

    def build_leaf(self, entries: list[tuple[bytes, bytes, int]]) -> bytes:
        head, body = b"", b""
        for place, (key, value, flag) in enumerate(entries):
            head += struct.pack("<IIII", flag, (len(entries) - place) * 16 + len(body), len(key), len(value))
            body += key + value
        return struct.pack("<QHHI", 0, 2, len(entries), 0) + head + body

    def add_page(self, data: bytes) -> int:
        number, count = len(self.pages), -(-len(data) // SIZE)
        self.pages += [data[at * SIZE : (at + 1) * SIZE] for at in range(count)]
        return number

    def build(self, transactions: tuple[int, int] = (1, 2), roots: tuple[int, int] | None = None) -> bytes:
        for place, transaction in enumerate(transactions):
            root = roots[place] if roots else self.root
            meta = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, SIZE, 0, root, 0, 2, len(self.pages), transaction)
            self.pages[place] = struct.pack("<QHHI", place, 4, 0, 0) + meta + struct.pack("<Q", _hash(meta))
        return b"".join(page.ljust(SIZE, b"\0") for page in self.pages)


CONTENT = {"v1": {"moby": {"images": {f"image{n:03}": {"digest": f"sha256:{n}".encode()} for n in range(300)}}, "k8s.io": {"a": b"b"}}}


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("keys_per_page", [7, 1000])
def test_every_bucket_is_read(tmp_path: Path, inline: bool, keys_per_page: int) -> None:
    path = tmp_path / "meta.db"
    path.write_bytes(Database(CONTENT, inline, keys_per_page).build())
    images = open_database(path).find_bucket("v1", "moby", "images")
    assert images is not None
    found = {key.decode(): bucket.list_values()[b"digest"] for key, bucket in images.list_buckets().items()}
    assert found == {name: value["digest"] for name, value in CONTENT["v1"]["moby"]["images"].items()}  # type: ignore[index]
    assert open_database(path).find_bucket("v1", "other", "images") is None


def test_the_latest_valid_transaction_counts(tmp_path: Path) -> None:
    database, path = Database({"old": {}}), tmp_path / "meta.db"
    old, database.root = database.root, database.add_tree({"new": {}})
    data = bytearray(database.build((8, 7), (old, database.root)))
    path.write_bytes(data)
    assert list(open_database(path).list_buckets()) == [b"old"]
    data[16 + 40] ^= 1  # a power cut while the first meta page was written
    path.write_bytes(data)
    assert list(open_database(path).list_buckets()) == [b"new"]


@pytest.mark.parametrize("text", [b"", b"text" * 5000])
def test_another_file_is_an_error(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "meta.db"
    path.write_bytes(text)
    with pytest.raises(BoltError, match="is not a database"):
        open_database(path)


@pytest.mark.parametrize("at", [3 * SIZE + 8, 3 * SIZE + 24])
def test_a_damaged_page_is_an_error(tmp_path: Path, at: int) -> None:
    path, data = tmp_path / "meta.db", bytearray(Database({"key": b"value"}).build())
    data[at : at + 4] = b"\xf0\xff\xff\x00"
    path.write_bytes(data)
    with pytest.raises(BoltError, match="damaged"):
        open_database(path).list_values()
