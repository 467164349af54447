# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of layers in containerd that a migration cannot use."""

from __future__ import annotations

import gzip
import hashlib
import math
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.blobs import (
    Archive,
    compare_digests,
    detect_compression,
    find_archive_problems,
    list_archives,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.images import Image, ImageLayer
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.store import Store

from .test_containerd_view import build_archive

TAR = build_archive({"etc/base": b"base"})
GZIP = gzip.compress(TAR, mtime=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "sha256").mkdir()
    return Store(tmp_path, namespace="own")


def put(store: Store, data: bytes, size: int | None = None) -> Archive:
    name = hashlib.sha256(data).hexdigest()
    (store.blobs / "sha256" / name).write_bytes(data)
    return Archive(ImageLayer("chain", "diff", f"sha256:{name}", "", len(data) if size is None else size), ("web:1", "app:2"))


def find_path(store: Store, archive: Archive) -> Path:
    return store.blobs / "sha256" / archive.layer.blob.partition(":")[2]


@pytest.mark.parametrize(
    ("data", "compression"),
    [
        (GZIP, "gzip"),
        (b"\x28\xb5\x2f\xfd" + TAR, "zstd"),
        (b"\x5a\x2a\x4d\x18" + TAR, "zstd"),
        (TAR, "tar"),
        (bytes(1024), "tar"),
        (b"", ""),
        (bytes(100), ""),
        (b"BZh9" + TAR, ""),
        (TAR[:148] + b"0000000\0" + TAR[156:], ""),
    ],
)
def test_the_first_bytes_tell_the_compression(tmp_path: Path, data: bytes, compression: str) -> None:
    (tmp_path / "blob").write_bytes(data)
    assert detect_compression(tmp_path / "blob") == compression


def test_an_archive_without_damage_is_no_problem(store: Store) -> None:
    archives = [put(store, GZIP), put(store, TAR)]
    assert find_archive_problems(store, archives) == []
    assert compare_digests(store, archives, math.inf) == ([], [])
    unknown = Archive(ImageLayer("chain", "diff", archives[0].layer.blob, ""), ("web:1",))  # a descriptor without a size
    assert find_archive_problems(store, [unknown]) == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "containerd does not have the archive sha256:"),
        (b"", f"has 0 bytes in containerd instead of {len(GZIP)}"),
        (GZIP[:-1], f"has {len(GZIP) - 1} bytes in containerd instead of {len(GZIP)}"),
        (bytes([*GZIP[:-1], GZIP[-1] ^ 1]), ""),
        (b"x" * len(GZIP), "is not a tar archive, plain or compressed with gzip or zstd"),
    ],
)
def test_a_damaged_archive_is_a_problem(store: Store, data: bytes | None, problem: str) -> None:
    archive = put(store, GZIP)
    path = find_path(store, archive)
    path.unlink() if data is None else path.write_bytes(data)
    found = find_archive_problems(store, [archive])
    assert (problem in found[0] and "of a layer of web:1, app:2" in found[0]) if problem else not found
    damaged, unread = compare_digests(store, [archive], math.inf)
    assert len(found) + len(damaged) == 1 and unread == []
    assert all("is damaged: its bytes have the digest" in text for text in damaged)
    assert all(f"--namespace own content rm {archive.layer.blob}" in text for text in [*found, *damaged])


def test_what_was_not_read_in_time_is_returned(store: Store) -> None:
    archive = put(store, GZIP)
    find_path(store, archive).write_bytes(bytes([*GZIP[:-1], GZIP[-1] ^ 1]))
    assert compare_digests(store, [archive], 0) == ([], [archive])


def test_an_archive_of_several_images_is_listed_once() -> None:
    large, small = ImageLayer("c1", "d1", "sha256:1", "", 2000), ImageLayer("c2", "d2", "sha256:2", "c1", 10)
    first, second = Image("m1", "sha256:c1", "linux/amd64", (large, small)), Image("m2", "sha256:c2", "linux/amd64", (large,))
    found = list_archives({"sha256:c1": first, "sha256:c2": second}, {"sha256:c1": "web:1"})
    assert found == [Archive(small, ("web:1",)), Archive(large, ("web:1", "sha256:c2"))]
