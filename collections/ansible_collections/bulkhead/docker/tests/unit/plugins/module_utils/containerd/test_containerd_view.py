# SPDX-License-Identifier: GPL-3.0-or-later
"""A view of images in containerd, and the migration that copies what it names."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd import reading
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.archives import describe_archive
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.images import compute_chain
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.reading import open_draft
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.store import Snapshot, Store
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.view import plan_view, write_view
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host, sha256
from ansible_collections.bulkhead.docker.plugins.module_utils.migration import images_list, roots, survey
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.ids import IdMaps
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.migrate import DataRootMigration
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.roots import MigrationBlocked

from ...builders import write_files

IDS = IdMaps([[0, 231072, 65536]], [[0, 231072, 65536]])
INFO = {
    "DockerRootDir": "/var/lib/docker",
    "Driver": "overlayfs",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    "Containerd": {"Address": "/run/containerd/containerd.sock", "Namespaces": {"Containers": "moby"}},
}
CONTAINER, OTHER = "d" * 64, "e" * 64
LISTED = "REF TYPE DIGEST\nweb:1 image sha256:1\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


class FakeContainerd:
    """A host with containerd: an image of two layers, and a container of it."""

    def __init__(
        self, folder: Path, compress: Callable[[bytes], bytes] = lambda archive: gzip.compress(archive, mtime=0), layers: int = 2
    ) -> None:
        self.host = Host(folder)
        self.root = self.host.path("/var/lib/docker")
        self.blobs = folder / "var/lib/containerd/blobs"
        (self.blobs / "sha256").mkdir(parents=True)
        self.snapshots: dict[str, Snapshot] = {}
        descriptors, diff_ids, self.chains = [], [], [""]
        further = [{f"further/{number}": b"1"} for number in range(2, layers)]
        for number, files in enumerate([{"etc/base": b"base"}, {"etc/.wh.gone": b"", "etc/top": b"top"}, *further]):
            archive = build_archive(files)
            diff_ids.append(f"sha256:{hashlib.sha256(archive).hexdigest()}")
            packed = compress(archive)
            descriptors.append({"digest": self.put(packed), "size": len(packed)})
            self.chains.append(compute_chain(self.chains[-1], diff_ids[-1]))
            self.add_snapshot(self.chains[-1], self.chains[-2], number, {name: data for name, data in files.items() if data})
        content = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": diff_ids}}
        self.config = self.put(json.dumps(content).encode())
        self.manifest = self.put(json.dumps({"config": {"digest": self.config}, "layers": descriptors}).encode())
        self.add_snapshot(f"{CONTAINER}-init", self.chains[-1], 1007, {"etc/hosts": b""})
        self.add_snapshot(CONTAINER, f"{CONTAINER}-init", 1008, {"written": b"by the container"})
        self.add_container(CONTAINER)
        (self.root / "volumes/data/_data").mkdir(parents=True)

    def list_archives(self) -> list[Path]:
        return [path for path in (self.blobs / "sha256").iterdir() if not path.read_bytes().startswith(b"{")]

    def put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        (self.blobs / "sha256" / name).write_bytes(data)
        return f"sha256:{name}"

    def add_snapshot(self, name: str, parent: str, number: int, files: dict[str, bytes]) -> None:
        folder = self.blobs.parent / "snapshots" / str(number) / "fs"
        write_files(folder, files)
        folder.mkdir(parents=True, exist_ok=True)
        self.snapshots[name] = Snapshot(parent, folder)

    def add_container(self, name: str) -> None:
        folder = self.root / "containers" / name
        folder.mkdir(parents=True)
        own = {"ID": name, "Name": f"/web{name[0]}", "Driver": "overlayfs", "Image": self.manifest, "State": {}}
        own |= {"ImageManifest": {"digest": self.manifest}, "LogPath": f"/var/lib/docker/containers/{name}/log"}
        (folder / "config.v2.json").write_text(json.dumps(own))
        (folder / "hostconfig.json").write_text("{}")

    @property
    def store(self) -> Store:
        return Store(self.blobs, {"docker.io/library/web:1": self.manifest}, self.snapshots)

    def write_view(self) -> Path:
        folder = self.root / roots.VIEW
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_view(plan_view(self.store, self.root, "amd64"), self.store, folder, describe_archive)
        (folder / "images").write_text(LISTED)
        return folder


def build_archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def fake(tmp_path: Path) -> FakeContainerd:
    return FakeContainerd(tmp_path)


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let `ctr` list the images of the view; returns a function that changes what it lists."""

    def answer(text: str) -> None:
        monkeypatch.setattr(images_list, "read_output", lambda command: text)

    answer(LISTED)
    return answer


def test_a_view_has_what_a_storage_driver_needs(fake: FakeContainerd) -> None:
    folder = fake.write_view()
    database = folder / "image/overlay2/layerdb"
    base, top = (chain.partition(":")[2] for chain in fake.chains[1:])
    assert (database / "sha256" / top / "parent").read_text() == fake.chains[1]
    assert (database / "sha256" / base / "size").read_text() == "4"
    assert not (database / "sha256" / base / "parent").exists()
    assert (folder / "overlay2" / top / "diff" / "etc/top").read_bytes() == b"top"
    assert (folder / "overlay2" / top / "lower").read_text() == f"l/{(folder / 'overlay2' / base / 'link').read_text()}"
    names = json.loads((folder / "image/overlay2/repositories.json").read_bytes())
    assert names == {"Repositories": {"web": {"web:1": fake.config, f"web@{fake.manifest}": fake.config}}}
    content = (folder / "image/overlay2/imagedb/content/sha256" / fake.config.partition(":")[2]).read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == fake.config
    mount = (database / "mounts" / CONTAINER / "mount-id").read_text()
    init = (database / "mounts" / CONTAINER / "init-id").read_text()
    assert (database / "mounts" / CONTAINER / "parent").read_text() == fake.chains[-1]
    links = [(folder / "overlay2" / name / "link").read_text() for name in (init, top, base)]
    assert (folder / "overlay2" / mount / "lower").read_text() == ":".join(f"l/{link}" for link in links)
    assert (folder / "overlay2" / init / "lower").read_text() == ":".join(f"l/{link}" for link in links[1:])


def test_a_repeated_view_is_equal(fake: FakeContainerd) -> None:
    """A copy that an interrupted run left is compared with it."""

    def read() -> dict[str, bytes]:
        folder = fake.write_view()
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert read() == read()


@pytest.mark.parametrize(
    ("remove", "problem"),
    [
        ("config", "web:1: containerd does not have its configuration"),
        ("chain", "web:1: 1 of its 2 layers are not unpacked"),
        ("snapshot", "container webd: containerd has no image whose layers are those"),
        ("parent", "container webd: containerd has no image whose layers are those"),
        ("archive", "of a layer of web:1; remove that content (ctr --namespace moby content rm sha256:"),
        ("files", "web:1: 1 of its 2 layers are not unpacked"),
        ("written files", "container webd: containerd has no image whose layers are those"),
    ],
)
def test_what_is_missing_is_a_problem(fake: FakeContainerd, remove: str, problem: str) -> None:
    match remove:
        case "config":
            (fake.blobs / "sha256" / fake.config.partition(":")[2]).unlink()
        case "chain":
            del fake.snapshots[fake.chains[1]]
        case "snapshot":
            del fake.snapshots[CONTAINER]
        case "parent":
            fake.snapshots[f"{CONTAINER}-init"] = replace(fake.snapshots[f"{CONTAINER}-init"], parent=fake.chains[1])
        case "archive":
            for path in fake.list_archives():
                path.unlink()
        case "files":
            shutil.rmtree(fake.snapshots[fake.chains[1]].folder)
        case "written files":
            shutil.rmtree(fake.snapshots[CONTAINER].folder)
    found = plan_view(fake.store, fake.root, "amd64").problems
    assert any(problem in text for text in found), found


@pytest.mark.parametrize("document", ["config", "manifest"])
def test_a_damaged_document_is_named(fake: FakeContainerd, document: str) -> None:
    """It is valid JSON still: only its digest tells."""
    digest = getattr(fake, document)
    path = fake.blobs / "sha256" / digest.partition(":")[2]
    path.write_bytes(path.read_bytes().replace(b"sha256:", b"sha256: "))
    problem = plan_view(fake.store, fake.root, "amd64").problems[0]
    assert problem.startswith("web:1: a document of it in containerd is damaged") and f"content rm {digest})" in problem


def test_an_image_has_no_more_layers_than_a_storage_driver_takes(tmp_path: Path) -> None:
    fake = FakeContainerd(tmp_path, layers=125)
    assert plan_view(fake.store, fake.root, "amd64").problems == []
    fake = FakeContainerd(tmp_path / "other", layers=126)
    assert plan_view(fake.store, fake.root, "amd64").problems[0].startswith("image web:1 has 126 layers, and overlay2 takes at most 125")


def test_another_platform_does_not_replace_a_damaged_one(fake: FakeContainerd) -> None:
    """The host's platform is not called absent if it is damaged."""
    content = json.loads((fake.blobs / "sha256" / fake.config.partition(":")[2]).read_bytes())
    other = fake.put(json.dumps({**content, "architecture": "arm64"}).encode())
    manifest = json.loads((fake.blobs / "sha256" / fake.manifest.partition(":")[2]).read_bytes())
    manifests = [{"digest": fake.manifest}, {"digest": fake.put(json.dumps({**manifest, "config": {"digest": other}}).encode())}]
    fake.manifest, own = fake.put(json.dumps({"manifests": manifests}).encode()), fake.manifest
    assert plan_view(fake.store, fake.root, "amd64").problems == []
    (fake.blobs / "sha256" / own.partition(":")[2]).write_bytes(b"{}")
    assert "is damaged" in plan_view(fake.store, fake.root, "amd64").problems[0]
    assert not any("web:1" in problem for problem in plan_view(fake.store, fake.root, "arm64").problems)


def test_layers_of_zstd_need_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeContainerd(tmp_path, lambda archive: b"\x28\xb5\x2f\xfd" + archive)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "install zstd" in plan_view(fake.store, fake.root, "amd64").problems[0]
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/zstd")
    assert plan_view(fake.store, fake.root, "amd64").problems == []


@pytest.mark.parametrize("damaged", [False, True])
def test_layers_of_zstd_are_read_by_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool) -> None:
    """A program of that name gives what the file has after its first bytes."""
    program = tmp_path / "bin/zstd"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor file; do :; done\ntail -c +5 "$file"\nexit {int(damaged)}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    fake = FakeContainerd(tmp_path / "host", lambda archive: b"\x28\xb5\x2f\xfd" + archive)
    if damaged:
        with pytest.raises(ValueError, match="zstd fails with status 1"):
            fake.write_view()
    else:
        assert fake.write_view().is_dir()


def test_an_archive_of_another_layer_is_an_error(fake: FakeContainerd) -> None:
    """Its size is a problem of the plan already; the run compares more."""
    view = plan_view(fake.store, fake.root, "amd64")
    for path in fake.list_archives():
        path.write_bytes(gzip.compress(build_archive({"other": b"1"})))
    (fake.root / roots.VIEW).mkdir()
    with pytest.raises(ValueError, match="instead of"):
        write_view(view, fake.store, fake.root / roots.VIEW, describe_archive)


def test_the_plan_reads_the_same_data_without_archives(fake: FakeContainerd) -> None:
    view = plan_view(fake.store, fake.root, "amd64")
    with open_draft(fake.store, view, str(fake.host.root)) as folder:
        facts = survey.read_facts(fake.host, fake.root, fake.root / ".draft", IDS, store=folder)
    assert not folder.exists()
    assert (facts["ignored"], facts["damaged"], facts["unmapped"]) == ({}, [], [])
    assert [container["name"] for container in facts["containers"]] == ["webd"]
    assert facts["bytes"] > 0


def test_without_the_program_of_containerd_there_is_a_problem(fake: FakeContainerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "read_store", lambda host, address, namespace: fake.store)
    info = {**INFO, "Architecture": "x86_64"}
    assert reading.read_view(fake.host, info, list)[1].problems == []

    def fail(command: list[str]) -> str:
        raise MigrationBlocked("ctr: No such file or directory")

    monkeypatch.setattr(images_list, "read_output", fail)
    assert "cannot list the images" in reading.read_view(fake.host, info, list)[1].problems[0]


def test_images_that_are_not_where_they_were_read_are_a_problem(fake: FakeContainerd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as an engine whose namespace is not in its /info."""
    monkeypatch.setattr(reading, "read_store", lambda host, address, namespace: fake.store)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    info = {**INFO, "Architecture": "x86_64"}

    def read(*names: str) -> list[str]:
        return reading.read_view(fake.host, info, lambda: [{"RepoTags": list(names)}, {"RepoTags": None}])[1].problems

    assert read("web:1") == []
    assert read("web:1", "other:2")[0].startswith(
        "the engine lists other:2, and containerd at /run/containerd/containerd.sock does not have it"
    )


def test_what_was_created_meanwhile_is_read_again(fake: FakeContainerd, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    snapshot = fake.snapshots.pop(CONTAINER)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        fake.snapshots[CONTAINER] = snapshot

    monkeypatch.setattr(reading, "read_store", lambda host, address, namespace: fake.store)
    monkeypatch.setattr(time, "sleep", sleep)
    assert reading.read_view(fake.host, {**INFO, "Architecture": "x86_64"}, list)[1].problems == []
    assert slept == [1]


@needs_root
def test_everything_is_migrated_to_the_storage_driver(fake: FakeContainerd) -> None:
    layers = {name: snapshot.folder for name, snapshot in fake.snapshots.items()}
    os.setxattr(layers[fake.chains[2]] / "etc", "trusted.overlay.opaque", b"y")
    os.chown(layers[CONTAINER] / "written", 33, 33)
    fake.write_view()
    migration = DataRootMigration(fake.host, IDS)
    migration.prepare(INFO)
    migration.migrate()
    target = fake.root / "231072.231072"
    database = target / "image/overlay2/layerdb"
    mount = (database / "mounts" / CONTAINER / "mount-id").read_text()
    written = target / "overlay2" / mount / "diff/written"
    assert written.read_bytes() == b"by the container"
    assert os.stat(written).st_uid == 231072 + 33
    for link in (target / "overlay2" / mount / "lower").read_text().split(":"):
        assert (target / "overlay2" / link).is_dir()
    top = target / "overlay2" / fake.chains[2].partition(":")[2]
    assert os.getxattr(top / "diff/etc", "trusted.overlay.opaque") == b"y"
    assert os.stat(top / "work").st_uid == 231072
    configuration = json.loads((target / "containers" / CONTAINER / "config.v2.json").read_bytes())
    assert (configuration["Driver"], configuration["Image"], configuration["ID"]) == ("overlay2", fake.config, CONTAINER)
    assert "ImageManifest" not in configuration
    assert configuration["LogPath"].startswith(f"/var/lib/docker/231072.231072/containers/{CONTAINER}")
    assert (target / "volumes/data/_data").is_dir()
    assert not (fake.root / roots.VIEW).exists()
    assert (layers[CONTAINER] / "written").read_bytes() == b"by the container"
    assert state.load(fake.host, roots.SUBJECT)["listed"] == sha256(LISTED)


@needs_root
def test_what_changes_meanwhile_stops_the_migration(fake: FakeContainerd, listed: Callable[[str], None]) -> None:
    migration = DataRootMigration(fake.host, IDS)
    with pytest.raises(MigrationBlocked, match="was not read before"):
        migration.prepare(INFO)
    fake.write_view()
    migration.prepare(INFO)
    fake.add_container(OTHER)
    with pytest.raises(MigrationBlocked, match="created while images were read"):
        migration.migrate()
    shutil.rmtree(fake.root / "containers" / OTHER)
    migration.prepare(INFO)
    listed(f"{LISTED}new:1 image sha256:2\n")
    with pytest.raises(MigrationBlocked, match="images were added, changed or removed"):
        migration.migrate()
    assert not (fake.root / "231072.231072").exists()


@needs_root
def test_a_container_that_removes_itself_does_not_stop_it(fake: FakeContainerd) -> None:
    fake.write_view()
    migration = DataRootMigration(fake.host, IDS)
    migration.prepare(INFO)
    shutil.rmtree(fake.root / "containers" / CONTAINER)
    shutil.rmtree(fake.snapshots[CONTAINER].folder)
    migration.migrate()
    target = fake.root / "231072.231072"
    assert list((target / "image/overlay2/layerdb/mounts").iterdir()) == []
    assert len(list((target / "overlay2").iterdir())) == 3  # two layers, and the links


@needs_root
def test_an_interrupted_copy_is_completed(fake: FakeContainerd, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write_view()
    first = DataRootMigration(fake.host, IDS)
    first.prepare(INFO)
    assert (fake.root / ".bulkhead-231072.231072" / "overlay2" / fake.chains[1].partition(":")[2] / "diff").is_dir()
    fake.write_view()  # the next run begins with it
    second: Any = DataRootMigration(fake.host, IDS)
    second.prepare(INFO)
    second.migrate()
    assert (fake.root / "231072.231072" / "containers" / CONTAINER).is_dir()
