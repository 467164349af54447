# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds archives of layers in containerd that a migration cannot use: missing, damaged, or compressed in a way that cannot be read. Reads only.

containerd compares digests when it writes a content, and not when it reads one. So an archive can be damaged for months without being noticed:
the files of its layer were unpacked when it was pulled.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .images import Image, ImageLayer
from .store import Store

GZIP, ZSTD, TAR = "gzip", "zstd", "tar"
_CHUNK, _HEADER = 1 << 20, 512
_SHOWN = 5  # images of one archive
_CHECKSUM = slice(148, 156)  # of a header of a tar archive, which counts as spaces in the sum (man 5 tar)


@dataclass(frozen=True)
class Archive:
    """The archive of one layer, and the names of the images that have it."""

    layer: ImageLayer
    images: tuple[str, ...]

    def describe(self) -> str:
        return f"the archive {self.layer.blob} of a layer of {', '.join(self.images[:_SHOWN])}"


def list_archives(images: Mapping[str, Image], names: Mapping[str, str]) -> list[Archive]:
    """Return the archives of images, the smallest first. images: by configuration. names: configuration -> name, for messages."""
    found: dict[str, tuple[ImageLayer, list[str]]] = {}
    for config, image in images.items():
        for layer in image.layers:
            found.setdefault(layer.blob, (layer, []))[1].append(names.get(config, config[:19]))
    archives = [Archive(layer, tuple(dict.fromkeys(users))) for layer, users in found.values()]
    return sorted(archives, key=lambda archive: (archive.layer.size or 0, archive.layer.blob))


def find_archive_problems(store: Store, archives: Iterable[Archive]) -> list[str]:
    """Return what is wrong with archives, as far as their first bytes and sizes tell. Raises OSError."""
    found = []
    for archive in archives:
        problem = _find_problem(store, archive)
        if problem:
            found.append(problem)
    return found


def _find_problem(store: Store, archive: Archive) -> str:
    blob = store.find_blob(archive.layer.blob)
    if blob is None:
        return f"containerd does not have {archive.describe()}; {explain_remedy(store, archive.layer.blob)}"
    size, expected = blob.stat().st_size, archive.layer.size
    if expected is not None and size != expected:
        return f"{archive.describe()} has {size} bytes in containerd instead of {expected}; {explain_remedy(store, archive.layer.blob)}"
    compression = detect_compression(blob)
    if not compression:
        return (
            f"{archive.describe()} is not a tar archive, plain or compressed with gzip or zstd; {explain_remedy(store, archive.layer.blob)}"
        )
    if compression == ZSTD and not shutil.which("zstd"):
        return f"{archive.describe()} is compressed with zstd, and this host has no program for that; install zstd"
    return ""


def compare_digests(store: Store, archives: Iterable[Archive], deadline: float) -> tuple[list[str], list[Archive]]:
    """Return which archives do not have the bytes that their digests name, and which were not read by then. Raises OSError.

    deadline: monotonic time.
    """
    damaged, unread = [], []
    for archive in archives:
        blob = store.find_blob(archive.layer.blob)
        if blob is None or _find_problem(store, archive):
            continue  # that is enough, or it was removed meanwhile
        digest = _compute_digest(blob, deadline)
        if not digest:
            unread.append(archive)
        elif digest != archive.layer.blob:
            damaged.append(
                f"{archive.describe()} is damaged: its bytes have the digest {digest[:19]}; {explain_remedy(store, archive.layer.blob)}"
            )
    return damaged, unread


def _compute_digest(blob: Path, deadline: float) -> str:
    """Return the digest of a file; empty if it was not read by the deadline."""
    state = hashlib.sha256()
    with open(blob, "rb") as file:
        while time.monotonic() < deadline:
            data = file.read(_CHUNK)
            if not data:
                return f"sha256:{state.hexdigest()}"
            state.update(data)
    return ""


def explain_remedy(store: Store, digest: str) -> str:
    """Return what to do about a content that is missing or damaged."""
    # A pull does not fetch the archive of a layer that is unpacked (containerd 1.7, pkg/unpack/unpacker.go).
    return (
        f"remove that content (ctr --namespace {store.namespace} content rm {digest}), and get it again with ctr --namespace {store.namespace}"
        " content fetch IMAGE@DIGEST, or with docker image load"
    )


def detect_compression(blob: Path) -> str:
    """Return how an archive is compressed (`tar`: not at all); empty if it is none that can be read."""
    with open(blob, "rb") as file:
        head = file.read(_HEADER)
    if head.startswith(b"\x1f\x8b"):
        return GZIP
    # A frame of data, or one that is skipped (RFC 8878, 3.1).
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[:1] and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18"):
        return ZSTD
    return TAR if _is_tar_header(head) else ""


def _is_tar_header(head: bytes) -> bool:
    """Return whether these are the first bytes of a tar archive, which may be empty."""
    if len(head) < _HEADER or not any(head):
        return len(head) == _HEADER
    text = head[_CHECKSUM].strip(b" \0")
    total = sum(head) - sum(head[_CHECKSUM]) + 8 * ord(" ")
    return text.isdigit() and all(digit in b"01234567" for digit in text) and int(text, 8) == total
