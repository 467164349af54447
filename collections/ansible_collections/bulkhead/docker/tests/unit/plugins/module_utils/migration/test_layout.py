# SPDX-License-Identifier: GPL-3.0-or-later
"""What is copied of an engine's root."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.migration import layout, roots

from ...builders import write_files

LAYER, INIT, BUILD, CONTAINER = "a" * 64, f"{'b' * 64}-init", "c" * 25, "d" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (LAYER, INIT, "b" * 64, BUILD):
        (tmp_path / "overlay2" / name / "diff").mkdir(parents=True)
        (tmp_path / "overlay2" / name / "link").write_text(name[0].upper() * 26)
    database, own = "image/overlay2/layerdb", f"containers/{CONTAINER}"
    files = {
        f"{database}/sha256/{'1' * 64}/cache-id": LAYER,
        f"{database}/mounts/{CONTAINER}/mount-id": "b" * 64,
        f"{database}/mounts/{CONTAINER}/init-id": INIT,
        f"{own}/config.v2.json": json.dumps({"Name": "/web", "ID": CONTAINER, "Driver": "overlay2"}),
        f"{own}/hostconfig.json": "{}",
        f"{own}/hosts": "",
        "volumes/metadata.db": "",
    }
    write_files(tmp_path, files)
    for folder in (f"{own}/mounts", "volumes/data/_data", "buildkit"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_everything_but_the_build_cache(root: Path) -> None:
    found = {piece.name: [(part.path.rsplit("/", 1)[1], part.content) for part in piece.parts] for piece in layout.list_pieces(root, root)}
    assert found[f"layer {LAYER}"] == [("diff", True), ("link", False)]
    assert found[f"container {CONTAINER[:12]}"] == [("hostconfig.json", False), ("hosts", True)]
    assert found["volume data"] == [("_data", True)]
    assert not [name for name in found if BUILD in name or "buildkit" in name]
    assert {"image/overlay2", "volumes/metadata.db"} <= found.keys()


def test_image_layers(root: Path) -> None:
    assert [piece.name for piece in layout.list_image_layers(root)] == [f"layer {LAYER}"]


@pytest.mark.parametrize("name", ["../../etc", "f" * 64])
def test_damaged_root_is_reported(root: Path, name: str) -> None:
    (root / "image" / "overlay2" / "layerdb" / "sha256" / ("1" * 64) / "cache-id").write_text(name)
    with pytest.raises(ValueError, match="damaged"):
        layout.list_pieces(root, root)


def test_container_paths_are_rebased() -> None:
    old = {
        "LogPath": "/var/lib/docker/containers/d/d-json.log",
        "Path": "/var/lib/docker/tool",
        "MountPoints": {
            "/data": {"Type": "volume", "Source": "/var/lib/docker/volumes/data/_data"},
            "/mine": {"Type": "bind", "Source": "/var/lib/docker/volumes/x/_data"},
        },
    }
    new = layout.rebase_paths(old, "/var/lib/docker", "/var/lib/docker/1.1")
    assert new["LogPath"] == "/var/lib/docker/1.1/containers/d/d-json.log"
    assert new["Path"] == old["Path"]
    assert new["MountPoints"]["/data"]["Source"] == "/var/lib/docker/1.1/volumes/data/_data"
    assert new["MountPoints"]["/mine"] == old["MountPoints"]["/mine"]  # type: ignore[index]


def _spoil(text: str | None = None, name: str = CONTAINER) -> Any:
    def change(root: Path) -> None:
        file = root / "containers" / name / "config.v2.json"
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)

    return change


@pytest.mark.parametrize(
    ("spoil", "path", "why"),
    [
        (_spoil(), f"containers/{CONTAINER}", "it has no config.v2.json"),
        (_spoil(name="e" * 64), f"containers/{'e' * 64}", "it has no config.v2.json"),
        (_spoil(name="mine"), "containers/mine", "it has no config.v2.json"),
        (lambda root: (root / "containers" / "note").write_text(""), "containers/note", "it has no config.v2.json"),
        (_spoil('{"ID"'), f"containers/{CONTAINER}", "its config.v2.json is not valid JSON"),
        (_spoil("[]"), f"containers/{CONTAINER}", "its config.v2.json is of another container"),
        (_spoil('{"ID": "x", "Driver": "overlay2"}'), f"containers/{CONTAINER}", "its config.v2.json is of another container"),
        (_spoil(json.dumps({"ID": CONTAINER, "Driver": "aufs"})), f"containers/{CONTAINER}", "it was created with the storage driver aufs"),
        (
            lambda root: shutil.rmtree(root / "image" / "overlay2" / "layerdb" / "mounts" / CONTAINER),
            f"containers/{CONTAINER}",
            "the storage driver has no layer of it",
        ),
        (lambda root: (root / "volumes" / "old").symlink_to(root / "volumes" / "data"), "volumes/old", "it is a symbolic link"),
    ],
)
def test_what_an_engine_ignores_is_not_copied(root: Path, spoil: Any, path: str, why: str) -> None:
    """A folder that an engine left behind, of another engine, or of a container whose removal was interrupted."""
    spoil(root)
    assert layout.find_ignored(root, root)[path] == why
    copied = [part.path for piece in layout.list_pieces(root, root) for part in piece.parts]
    assert copied and not any(name.startswith(f"{path}/") for name in copied)
    if path == f"containers/{CONTAINER}":
        assert list(layout.read_definitions(root, root)) == []


def test_nothing_is_ignored_or_damaged_in_a_regular_root(root: Path) -> None:
    (root / "containers" / CONTAINER / "hostconfig.json").unlink()  # the engine then takes defaults
    assert (layout.find_ignored(root, root), layout.find_damage(root, root)) == ({}, [])
    assert [host for _name, _configuration, host in layout.read_definitions(root, root)] == [{}]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "overlay2" / LAYER / "link").unlink(), f"overlay2/{LAYER} has no file link"),
        (lambda root: (root / "volumes" / "empty").mkdir(), "the volume empty has no folder"),
        (lambda root: (root / "volumes" / "data" / "opts.json").write_text("{"), "volumes/data/opts.json is not valid"),
        (lambda root: (root / "volumes" / "data" / "opts.json").write_text("[1]"), "volumes/data/opts.json is not valid"),
        (lambda root: (root / "containers" / CONTAINER / "hostconfig.json").write_text("{"), "hostconfig.json is not valid JSON"),
        (lambda root: (root / "image/overlay2/layerdb/sha256" / ("1" * 64) / "cache-id").write_text(""), "names the layer ''"),
    ],
)
def test_damage_is_named(root: Path, spoil: Any, words: str) -> None:
    spoil(root)
    (text,) = layout.find_damage(root, root)
    assert words in text


@pytest.mark.parametrize(
    ("spoil", "empty"),
    [
        (lambda root: None, True),
        (lambda root: (root / "volumes" / "v" / "_data").mkdir(parents=True), False),
        (lambda root: (root / "containers" / ("e" * 64)).mkdir(parents=True), False),
        (lambda root: _networks(root, b"bridge", b"host", b"none"), True),
        (lambda root: _networks(root, b"bridge", b"mine"), False),
        (lambda root: _store(root, b"something else"), False),
    ],
)
def test_an_empty_root(tmp_path: Path, spoil: Any, empty: bool) -> None:
    spoil(tmp_path)
    assert roots.is_empty(tmp_path) is empty


def _networks(root: Path, *names: bytes) -> None:
    _store(
        root,
        b"".join(
            b'docker/network/v1.0/network/%s/\x07\0\0\0\0\0\0\0{"attachable":false,"name":"%s"}' % (b"a" * 64, name) for name in names
        ),
    )


def _store(root: Path, text: bytes) -> None:
    write_files(root, {"network/files/local-kv.db": text})
