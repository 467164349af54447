# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what an engine with a storage driver keeps of a layer's tar archive: everything but the contents of files that the layer's folder has.

The engine puts archive and folder together when it saves or pushes the layer (moby layer/ro_layer.go; format: vbatts/tar-split, tar/storage).
The result is right by construction: a file is left out only if its bytes in the folder and in the archive are equal.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

_BLOCK, _CHUNK = 512, 1 << 20
_SEGMENT, _FILE = 2, 1
# Their content describes the next entry: pax headers, and names that are longer than the header's field (man 5 tar).
_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_LARGEST_HEADER = 16 << 20
_ONES = (1 << 64) - 1
_REVERSED = bytes(int(f"{number:08b}"[::-1], 2) for number in range(256))


class Readable(Protocol):
    """An archive that is read from its beginning to its end."""

    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    """What the description is written to."""

    def write(self, data: bytes, /) -> object: ...


class DamagedLayer(ValueError):
    """The archive is not a tar archive, or not the one that the image names."""


@dataclass(frozen=True)
class LayerFacts:
    """What the engine keeps in addition to the archive. size: bytes of all regular files."""

    diff_id: str
    size: int


def update_crc64(state: int, data: bytes) -> int:
    """Return the next state of a CRC-64 (ISO 3309, reflected), which begins with and is finally inverted by `_ONES`.

    Python has none. The polynomial is x^64 + x^4 + x^3 + x + 1, so that raised to a power of two it still has five terms: a remainder is a few
    shifts of one large integer, which is a hundred times faster than a table per byte.
    """
    count = len(data) * 8
    value = int.from_bytes(data.translate(_REVERSED), "big") << 64
    value ^= _reverse(state) << count
    power = 1
    while 128 * power < count + 64:
        power *= 2
    while power:
        width = 64 * power
        while (high := value >> width) != 0:
            value = (value & ((1 << width) - 1)) ^ high ^ (high << power) ^ (high << 3 * power) ^ (high << 4 * power)
        power //= 2
    return _reverse(value)


def _reverse(number: int) -> int:
    return int.from_bytes(number.to_bytes(8, "little").translate(_REVERSED), "big")


class _Writer:
    """Writes the entries, one JSON object per line."""

    def __init__(self, out: Writable) -> None:
        self._out, self._position = out, 0

    def add_segment(self, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            self._add({"type": _SEGMENT, "payload": base64.b64encode(data[start : start + _CHUNK]).decode()})

    def add_file(self, name: bytes, size: int, checksum: bytes) -> None:
        try:
            entry = {"type": _FILE, "name": name.decode()}
        except UnicodeDecodeError:
            entry = {"type": _FILE, "name_raw": base64.b64encode(name).decode()}
        self._add({**entry, "size": size, "payload": base64.b64encode(checksum).decode()})

    def _add(self, entry: dict[str, object]) -> None:
        self._out.write(json.dumps({**entry, "position": self._position}, ensure_ascii=False).encode() + b"\n")
        self._position += 1


class _Archive:
    """Reads an archive and hashes it."""

    def __init__(self, source: Readable) -> None:
        self._source, self.hash = source, hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return that many bytes, or fewer at the end of the archive."""
        parts, left = [], size
        while left and (part := self._source.read(left)):
            parts.append(part)
            left -= len(part)
        data = b"".join(parts)
        self.hash.update(data)
        return data

    def read_all(self, size: int) -> bytes:
        data = self.read(size)
        if len(data) != size:
            raise DamagedLayer("the archive of the layer ends too early")
        return data


def split_layer(source: Readable, folder: Path, out: Writable) -> LayerFacts:
    """Write the description of an uncompressed archive, whose files are in `folder`. Raises DamagedLayer, OSError."""
    archive, writer = _Archive(source), _Writer(out)
    pending, seen, total = b"", set(), 0
    pax: dict[bytes, bytes] = {}
    long_name = b""
    while True:
        header = archive.read(_BLOCK)
        pending += header
        if len(header) < _BLOCK or not header.strip(b"\0"):
            break
        kind, size = header[156:157], _parse_number(header[124:136])
        if kind in (_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_LINK):
            if size > _LARGEST_HEADER:
                raise DamagedLayer(f"the archive of the layer has a header of {size} bytes")
            content = archive.read_all(_pad(size))
            pending += content
            if kind == _PAX:
                pax = _parse_pax(content[:size])
            elif kind == _LONG_NAME:
                long_name = content[:size].rstrip(b"\0")
            continue
        is_extended = kind == b"S" and header[482]  # an old sparse file of GNU: more headers follow
        while is_extended:
            block = archive.read_all(_BLOCK)
            pending += block
            is_extended = block[504]
        size = int(pax.get(b"size", size))
        name = pax.get(b"path") or long_name or _join_name(header)
        is_plain = kind in (b"0", b"\0", b"7") and not any(key.startswith(b"GNU.sparse") for key in pax)
        pax, long_name = {}, b""
        if not size or kind in (b"1", b"2", b"3", b"4", b"5", b"6"):  # links, devices, folders and pipes have no content
            continue
        total += size if is_plain else 0
        key = os.path.normpath(name)
        if is_plain and key not in seen:
            writer.add_segment(pending)
            pending = _split_file(archive, writer, folder, name, size)
        else:
            pending = _copy_content(archive, writer, pending, size)
        seen.add(key)
        pending += archive.read_all(_pad(size) - size)
    while rest := archive.read(_CHUNK):
        writer.add_segment(pending)
        pending = rest
    writer.add_segment(pending)
    return LayerFacts(f"sha256:{archive.hash.hexdigest()}", total)


def _split_file(archive: _Archive, writer: _Writer, folder: Path, name: bytes, size: int) -> bytes:
    """Describe the content of a file by its checksum if the folder has the same, otherwise by its bytes. Returns bytes that are not written."""
    state, at = _ONES, 0
    file = _open_file(folder, name, size)
    try:
        while at < size:
            chunk = archive.read_all(min(_CHUNK, size - at))
            if file is None or file.read(len(chunk)) != chunk:
                if file:
                    _write_again(file, writer, at)
                writer.add_segment(chunk)
                return _copy_content(archive, writer, b"", size - at - len(chunk))
            state = update_crc64(state, chunk)
            at += len(chunk)
    finally:
        if file:
            file.close()
    writer.add_file(name, size, (state ^ _ONES).to_bytes(8, "big"))
    return b""


def _write_again(file: IO[bytes], writer: _Writer, size: int) -> None:
    """Write the first bytes of a file, which are equal in the archive."""
    file.seek(0)
    while size:
        data = file.read(min(_CHUNK, size))
        if not data:
            raise DamagedLayer(f"{file.name} changed while it was read")
        writer.add_segment(data)
        size -= len(data)


def _copy_content(archive: _Archive, writer: _Writer, pending: bytes, size: int) -> bytes:
    while size:
        writer.add_segment(pending)
        pending = archive.read_all(min(_CHUNK, size))
        size -= len(pending)
    return pending


def _open_file(folder: Path, name: bytes, size: int) -> IO[bytes] | None:
    """Open the file of an entry, below the folder and without following links; None if it is not such a file."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            descriptor = _step(descriptor, part, os.O_RDONLY | os.O_DIRECTORY)
        descriptor = _step(descriptor, parts[-1], os.O_RDONLY | os.O_NONBLOCK)
        status = os.fstat(descriptor)
    except OSError:
        return None  # _step has closed it
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def _step(descriptor: int, name: bytes, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _join_name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _parse_number(field: bytes) -> int:
    """Return a number of a header: octal digits, or big-endian bytes after a set bit (GNU)."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise DamagedLayer("the layer is not a tar archive") from None


def _parse_pax(text: bytes) -> dict[bytes, bytes]:
    found = {}
    while text:
        length, _space, _rest = text.partition(b" ")
        if not length.isdigit() or not int(length):
            raise DamagedLayer("the archive of the layer has a pax header that is not valid")
        record = text[len(length) + 1 : int(length) - 1]
        key, _equals, value = record.partition(b"=")
        found[key] = value
        text = text[int(length) :]
    return found


def _pad(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
