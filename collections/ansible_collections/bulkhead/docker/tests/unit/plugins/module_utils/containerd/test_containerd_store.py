# SPDX-License-Identifier: GPL-3.0-or-later
"""What containerd has for an engine, read from its databases."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd import store
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.store import Snapshot, StoreUnreadable, find_databases, read_store
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files
from .test_containerd_bolt import Database

ROOT = "/var/lib/containerd"
METADATA = f"{ROOT}/io.containerd.metadata.v1.bolt/meta.db"
SNAPSHOTS = f"{ROOT}/io.containerd.snapshotter.v1.overlayfs/metadata.db"
DIGEST = "sha256:" + "1" * 64


def build_snapshots(**parents: str) -> dict[str, Any]:
    return {key: {"name": f"moby/{number}/{key}".encode(), "parent": parents[key].encode()} for number, key in enumerate(parents)}


CONTENT: dict[str, Any] = {
    "v1": {
        "moby": {
            "images": {"docker.io/library/web:1": {"target": {"digest": DIGEST.encode(), "size": b"\x04"}}},
            "snapshots": {"overlayfs": build_snapshots(base="", web="base")},
        },
        "k8s.io": {"images": {"pause:1": {"target": {"digest": b"sha256:2"}}}, "snapshots": {"overlayfs": {}}},
    }
}
FOLDERS = {"v1": {"snapshots": {"moby/0/base": {"id": b"\x05"}, "moby/1/web": {"id": b"\xac\x02"}}}}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = write_files(tmp_path, {METADATA: Database(CONTENT).build(), SNAPSHOTS: Database(FOLDERS).build()})
    monkeypatch.setattr(store, "_find_listener", lambda address: 7)
    write_maps(host, METADATA, SNAPSHOTS, "/usr/lib/libc.so.6")
    return host


def write_maps(host: Host, *paths: str) -> None:
    write_files(host, {"/proc/7/maps": "".join(f"7fff0000-7fff1000 r--s 00000000 fe:00 1      {path}\n" for path in paths)})


def test_images_and_snapshots_of_the_namespace_are_read(host: Host) -> None:
    found = read_store(host, "/run/c.sock", "moby")
    assert found.images == {"docker.io/library/web:1": DIGEST}
    top = host.path(SNAPSHOTS).parent / "snapshots"
    assert found.snapshots == {"base": Snapshot("", top / "5/fs"), "web": Snapshot("base", top / "300/fs")}
    assert read_store(host, "/run/c.sock", "absent") == store.Store(found.blobs, namespace="absent")


def test_contents_are_found_by_digest(host: Host) -> None:
    found = read_store(host, "/run/c.sock", "moby")
    assert found.find_blob(DIGEST) is None and found.load(DIGEST) is None
    folder = host.path(f"{ROOT}/io.containerd.content.v1.content/blobs/sha256")
    folder.mkdir(parents=True)

    def put(text: str) -> str:
        name = hashlib.sha256(text.encode()).hexdigest()
        (folder / name).write_text(text)
        return f"sha256:{name}"

    assert found.load(put(json.dumps({"config": {}}))) == {"config": {}}
    assert found.find_blob("sha256:../../etc/passwd") is None
    damaged: set[str] = set()
    for text in ("[]", "no JSON"):
        assert found.load(put(text), damaged) is None
    assert damaged == set()
    (folder / ("1" * 64)).write_text("{}")
    assert found.load(DIGEST, damaged) is None and damaged == {DIGEST}


def test_databases_are_those_that_containerd_has_mapped(host: Host) -> None:
    write_maps(host, METADATA)  # the other one is opened with its first use
    assert find_databases(host, "/run/c.sock") == (host.path(METADATA), host.path(SNAPSHOTS))
    write_maps(host, METADATA, "/data/overlay/metadata.db")
    assert find_databases(host, "/run/c.sock")[1] == host.path("/data/overlay/metadata.db")
    write_maps(host, "/usr/lib/libc.so.6")
    with pytest.raises(StoreUnreadable, match=r"process 7, which answers on /run/c.sock, is not a containerd"):
        find_databases(host, "/run/c.sock")


def test_a_damaged_database_is_an_error(host: Host) -> None:
    host.path(METADATA).write_bytes(b"text" * 5000)
    with pytest.raises(StoreUnreadable, match="cannot be read"):
        read_store(host, "/run/c.sock", "moby")


def test_the_process_that_listens_is_found(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "c.sock"))
        server.listen()
        assert store._find_listener(str(tmp_path / "c.sock")) == os.getpid()
