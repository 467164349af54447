# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what containerd has for one engine: images, their contents and snapshots. containerd runs meanwhile, and nothing is changed."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..host.root import Host
from ..migration.layout import SNAPSHOTTER
from .bolt import Bucket, open_database

_METADATA, _SNAPSHOTS = "io.containerd.metadata.v1.bolt/meta.db", f"io.containerd.snapshotter.v1.{SNAPSHOTTER}/metadata.db"
_BLOBS = "io.containerd.content.v1.content/blobs"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST_DOCUMENT = 64 << 20
_TIMEOUT = 30


class StoreUnreadable(ValueError):
    """What containerd has cannot be read."""


@dataclass(frozen=True)
class Snapshot:
    """A layer. parent: the snapshot below it; empty at the bottom. folder: its files, in the form of an overlay's upper folder."""

    parent: str
    folder: Path


@dataclass(frozen=True)
class Store:
    """images: name -> digest. blobs: the folder of contents by digest. namespace: of containerd, the engine's."""

    blobs: Path
    images: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    namespace: str = "moby"

    def find_blob(self, digest: str) -> Path | None:
        """Return the file of a content; None if containerd does not have it."""
        if not _DIGEST.fullmatch(digest):
            return None
        path = self.blobs / "sha256" / digest.partition(":")[2]
        return path if path.is_file() else None

    def load(self, digest: str, damaged: set[str] | None = None) -> dict[str, Any] | None:
        """Return a JSON document; None if containerd does not have it, it is not one, or it is damaged. damaged: gets its digest then."""
        path = self.find_blob(digest)
        if path is None or path.stat().st_size > _LARGEST_DOCUMENT:
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest.partition(":")[2]:
            if damaged is not None:
                damaged.add(digest)
            return None
        try:
            document = json.loads(content)
        except ValueError:
            return None
        return document if isinstance(document, dict) else None


def read_store(host: Host, address: str, namespace: str) -> Store:
    """Return what containerd has in a namespace. address: its socket. Raises StoreUnreadable, OSError."""
    metadata, snapshots = find_databases(host, address)
    try:
        own = open_database(metadata).find_bucket("v1", namespace)
        folders = _read_folders(open_database(snapshots), snapshots.parent / "snapshots")
        images = _read_images(own.find_bucket("images") if own else None)
        found = _read_snapshots(own.find_bucket("snapshots", SNAPSHOTTER) if own else None, folders)
    except (KeyError, IndexError, UnicodeDecodeError, ValueError) as error:
        raise StoreUnreadable(f"the database of containerd at {address} cannot be read: {error}") from error
    return Store(metadata.parent.parent / _BLOBS, images, found, namespace)


def find_databases(host: Host, address: str) -> tuple[Path, Path]:
    """Return the databases of metadata and of snapshots that the running containerd has mapped. Raises StoreUnreadable, OSError."""
    pid = _find_listener(address)
    maps = host.read(f"/proc/{pid}/maps") or ""
    paths = sorted(set(re.findall(r"(/\S.*\.db)$", maps, re.MULTILINE)))
    metadata = [path for path in paths if path.endswith(f"/{_METADATA}")]
    if len(metadata) != 1:
        raise StoreUnreadable(f"process {pid}, which answers on {address}, is not a containerd with a database of metadata")
    root = metadata[0].removesuffix(_METADATA)
    # It is opened with its first use, and can be in a folder of its own (root_path of the snapshotter).
    snapshots = [path for path in paths if path.endswith(f"/{_SNAPSHOTS}")] or [path for path in paths if path.endswith("/metadata.db")]
    return host.path(metadata[0]), host.path(snapshots[0] if len(snapshots) == 1 else root + _SNAPSHOTS)


def _find_listener(address: str) -> int:
    """Return the process that listens on a socket (man 7 unix, SO_PEERCRED)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT)
        client.connect(address)
        return int(struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


# The layout of the databases: containerd metadata/buckets.go, snapshots/storage/bolt.go


def _read_images(bucket: Bucket | None) -> dict[str, str]:
    found = {}
    for name, image in (bucket.list_buckets() if bucket else {}).items():
        target = image.find_bucket("target")
        if target:
            found[name.decode()] = target.list_values()[b"digest"].decode()
    return found


def _read_folders(database: Bucket, top: Path) -> dict[str, Path]:
    """Return the snapshotter's name of each snapshot -> the folder of its files."""
    bucket = database.find_bucket("v1", "snapshots")
    found = {}
    for name, entry in (bucket.list_buckets() if bucket else {}).items():
        found[name.decode()] = top / str(_read_uvarint(entry.list_values()[b"id"])) / "fs"
    return found


def _read_snapshots(bucket: Bucket | None, folders: Mapping[str, Path]) -> dict[str, Snapshot]:
    found = {}
    for key, entry in (bucket.list_buckets() if bucket else {}).items():
        values = entry.list_values()
        folder = folders.get(values.get(b"name", b"").decode())
        if folder:
            found[key.decode()] = Snapshot(values.get(b"parent", b"").decode(), folder)
    return found


def _read_uvarint(data: bytes) -> int:
    result = 0
    for place, byte in enumerate(data):
        result |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return result
    raise ValueError("a number has no end")
