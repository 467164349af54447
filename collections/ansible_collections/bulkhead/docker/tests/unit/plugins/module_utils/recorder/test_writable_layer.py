# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container has written, as its overlay's folder shows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import writable_layer
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.writable_layer import find_writable_layer, list_written

OVERLAY = "30 20 0:50 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/l/a:/l/b,upperdir=/data/ab/diff,workdir=/data/ab/work"


@pytest.mark.parametrize(
    ("mountinfo", "found"),
    [
        (OVERLAY, "/data/ab/diff"),
        (f"{OVERLAY}\n31 30 0:51 / /proc rw - proc proc rw\n", "/data/ab/diff"),
        (OVERLAY.replace("/data/ab/diff", "/data/a\\040b/diff"), "/data/a b/diff"),
        (OVERLAY.replace("/data/ab/diff", "ab/diff"), ""),  # moby writes relative paths if there are many layers
        (OVERLAY.replace("upperdir=/data/ab/diff,", ""), ""),
        (f"{OVERLAY}\n40 30 8:1 / / rw - ext4 /dev/vda1 rw", ""),
        ("30 20 8:1 / / rw - btrfs /dev/vda1 rw,upperdir=/x", ""),
        ("", ""),
        ("broken / /", ""),
    ],
)
def test_the_folder_is_that_of_the_mount_on_top(mountinfo: str, found: str) -> None:
    assert find_writable_layer(mountinfo) == found


def test_all_entries_are_listed_and_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    layer = tmp_path / "layer"
    (layer / "a/b").mkdir(parents=True)
    (layer / "a/file").touch()
    (layer / "a/link").symlink_to(outside)
    (layer / "top").touch()
    assert sorted(list_written(layer)) == ["/a", "/a/b", "/a/file", "/a/link", "/top"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_what_was_deleted_is_left_out(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "gone", 0o600 | 0o020000, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("this machine makes no devices")
    (tmp_path / "kept").touch()
    assert list_written(tmp_path) == ["/kept"]


def test_a_layer_with_too_many_files_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writable_layer, "MAX_ENTRIES", 3)
    for number in range(5):
        (tmp_path / str(number)).touch()
    assert len(list_written(tmp_path)) == 3


def test_a_removed_layer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        list_written(tmp_path / "none")
