# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads databases of bbolt, in which containerd keeps its metadata, while containerd uses them.

A page that the current meta page leads to is not written before a later transaction is complete (go.etcd.io/bbolt, doc.go and tx.go). So a copy
is consistent if the meta pages are the same before and after it was read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

# bbolt internal/common: page.go, meta.go, bucket.go
_HEADER, _META, _BUCKET = struct.Struct("<QHHI"), struct.Struct("<IIIIQQQQQ"), struct.Struct("<QQ")
_BRANCH, _LEAF = struct.Struct("<IIQ"), struct.Struct("<IIII")
_MAGIC, _VERSION = 0xED0CDAED, 2
_IS_BRANCH, _IS_LEAF, _IS_BUCKET = 1, 2, 1
_PAGE_SIZES = (4096, 16384, 65536, 8192, 32768)
_ATTEMPTS = 20
_DEEPEST = 64


class BoltError(ValueError):
    """The file is not a database, it is damaged, or it changed each time that it was read."""


class Bucket:
    """One bucket: keys with values, or with further buckets."""

    def __init__(self, data: bytes, page_size: int, value: bytes) -> None:
        self._data, self._page_size = data, page_size
        root, _sequence = _BUCKET.unpack_from(value)
        self._root = root
        self._inline = value[_BUCKET.size :] if root == 0 else b""

    def list_values(self) -> dict[bytes, bytes]:
        """Return the keys with values. Raises BoltError."""
        return {key: value for key, value, is_bucket in self._walk() if not is_bucket}

    def list_buckets(self) -> dict[bytes, Bucket]:
        """Return the keys with buckets. Raises BoltError."""
        return {key: Bucket(self._data, self._page_size, value) for key, value, is_bucket in self._walk() if is_bucket}

    def find_bucket(self, *path: str) -> Bucket | None:
        """Return the bucket at a path of keys, or None. Raises BoltError."""
        found: Bucket | None = self
        for key in path:
            found = found.list_buckets().get(key.encode()) if found else None
        return found

    def _walk(self) -> Iterator[tuple[bytes, bytes, bool]]:
        try:
            yield from self._walk_page(self._inline, 0) if self._inline else self._walk_page(self._data, self._root * self._page_size)
        except struct.error as error:
            raise BoltError(f"it is damaged: {error}") from error

    def _walk_page(self, data: bytes, start: int, depth: int = 0) -> Iterator[tuple[bytes, bytes, bool]]:
        _number, flags, count, _overflow = _HEADER.unpack_from(data, start)
        if depth > _DEEPEST or not flags & (_IS_BRANCH | _IS_LEAF):
            raise BoltError(f"it is damaged: the page at {start} is not a part of a tree")
        for place in range(count):
            at = start + _HEADER.size + place * 16
            if flags & _IS_BRANCH:
                _position, _length, child = _BRANCH.unpack_from(data, at)
                yield from self._walk_page(self._data, child * self._page_size, depth + 1)
            else:
                kind, position, key, value = _LEAF.unpack_from(data, at)
                middle = at + position + key
                if middle + value > len(data):
                    raise BoltError(f"it is damaged: an entry of the page at {start} is outside of the file")
                yield data[at + position : middle], data[middle : middle + value], bool(kind & _IS_BUCKET)


def open_database(path: Path) -> Bucket:
    """Return the root bucket of a database, as it is now. Raises BoltError, OSError."""
    for _attempt in range(_ATTEMPTS):
        with open(path, "rb") as file:
            data = file.read()
            file.seek(0)
            head = file.read(2 * _PAGE_SIZES[2])
        size, root = _find_root(data, path)
        if head[: 2 * size] == data[: 2 * size]:
            return Bucket(data, size, _BUCKET.pack(root, 0))
    raise BoltError(f"{path} changed each time that it was read; run again")


def _find_root(data: bytes, path: Path) -> tuple[int, int]:
    """Return the page size, and the page of the root bucket by the meta page of the latest transaction."""
    for size in _PAGE_SIZES:
        found = []
        for start in (_HEADER.size, size + _HEADER.size):
            if len(data) < start + _META.size:
                continue
            magic, version, page_size, _flags, root, _sequence, _free, _pages, transaction = _META.unpack_from(data, start)
            checksum = int.from_bytes(data[start + _META.size : start + _META.size + 8], "little")
            if (magic, version, page_size) == (_MAGIC, _VERSION, size) and checksum == _hash(data[start : start + _META.size]):
                found.append((transaction, root))
        if found:
            return size, max(found)[1]
    raise BoltError(f"{path} is not a database of containerd")


def _hash(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash."""
    result = 0xCBF29CE484222325
    for byte in data:
        result = (result ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return result
