# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions of layers: archive and folder give the archive again, as the engine puts them together."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd import tar_split
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.tar_split import DamagedLayer, split_layer, update_crc64

from ...builders import write_files

ONES = (1 << 64) - 1


def compute_crc64(data: bytes) -> int:
    state = ONES
    for byte in data:
        state ^= byte
        for _bit in range(8):
            state = (state >> 1) ^ 0xD800000000000000 if state & 1 else state >> 1
    return state ^ ONES


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 63, 64, 65, 500, 4096])
def test_checksums_are_those_of_the_definition(size: int) -> None:
    data = os.urandom(size)
    assert update_crc64(ONES, data) ^ ONES == compute_crc64(data)
    middle = size // 3
    assert update_crc64(update_crc64(ONES, data[:middle]), data[middle:]) ^ ONES == compute_crc64(data)


def test_a_checksum_is_that_which_an_engine_writes() -> None:
    """Of a layer with the file `hi`, imported by docker.io 28.5.2."""
    assert base64.b64encode((update_crc64(ONES, b"hi\n") ^ ONES).to_bytes(8, "big")) == b"YUmYEAAAAAA="


def build_archive(kind: int = tarfile.GNU_FORMAT, **files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.LNKTYPE, next(iter(files), "x")
        archive.addfile(link)
    return out.getvalue()


def split(archive: bytes, folder: Path) -> tuple[list[dict[str, object]], tar_split.LayerFacts]:
    out = io.BytesIO()
    facts = split_layer(io.BytesIO(archive), folder, out)
    return [json.loads(line) for line in out.getvalue().splitlines()], facts


def join(entries: list[dict[str, object]], folder: Path) -> bytes:
    """Put the archive together as vbatts/tar-split does."""
    found, names = b"", set()
    for position, entry in enumerate(entries):
        assert entry["position"] == position
        payload = base64.b64decode(str(entry["payload"]))
        if entry["type"] == 2:
            found += payload
            continue
        name = base64.b64decode(str(entry["name_raw"])) if "name_raw" in entry else str(entry["name"]).encode()
        assert name not in names, "an engine rejects a second entry of a name"
        names.add(name)
        data = (folder / os.fsdecode(name)).read_bytes()
        assert len(data) == entry["size"]
        assert compute_crc64(data).to_bytes(8, "big") == payload
        found += data
    return found


FILES = {"etc/a": b"a" * 700, "etc/empty": b"", "b" * 150: b"long name", "block": b"x" * 512, "pfad/ä": b"not ASCII"}


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_is_described_without_its_files(tmp_path: Path, kind: int) -> None:
    archive = build_archive(kind, **FILES)
    write_files(tmp_path, FILES)
    entries, facts = split(archive, tmp_path)
    assert join(entries, tmp_path) == archive
    assert [entry["name"] for entry in entries if entry["type"] == 1] == [name for name, data in FILES.items() if data]
    assert facts == tar_split.LayerFacts(f"sha256:{hashlib.sha256(archive).hexdigest()}", sum(map(len, FILES.values())))


def test_files_that_differ_are_kept_in_the_description(tmp_path: Path) -> None:
    """Through a link of a lower layer, containerd unpacks a file to another place. Of equal names, the folder has the last."""
    big = bytes(range(256)) * 10000
    files = {"same": b"1", "absent": b"22", "other": b"333", "longer": b"4444", "end": big, "dir/linked": b"5", "../out": b"6"}
    archive = build_archive(**files)[:-10240] + build_archive(same=b"0")
    write_files(tmp_path, {"same": b"0", "other": b"999", "longer": b"44444", "end": big[:-1] + b"!", "real__linked": b"5"})
    (tmp_path / "dir").symlink_to("/etc")
    entries, facts = split(archive, tmp_path)
    assert join(entries, tmp_path) == archive
    assert [entry for entry in entries if entry["type"] == 1] == []
    assert facts.diff_id == f"sha256:{hashlib.sha256(archive).hexdigest()}"


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    write_files(tmp_path, {name: b"abc"})
    entries, _facts = split(out.getvalue(), tmp_path)
    assert any("name_raw" in entry for entry in entries)
    assert join(entries, tmp_path) == out.getvalue()


@pytest.mark.parametrize("archive", [b"", b"\0" * 512, b"\0" * 20000])
def test_an_empty_archive_is_described(tmp_path: Path, archive: bytes) -> None:
    entries, facts = split(archive, tmp_path)
    assert join(entries, tmp_path) == archive
    assert facts.size == 0


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    archive = build_archive(a=b"1" * 5000)
    with pytest.raises(DamagedLayer, match="ends too early"):
        split(archive[:2000], tmp_path)
    with pytest.raises(DamagedLayer, match="not a tar archive"):
        split(b"text" * 1000, tmp_path)
