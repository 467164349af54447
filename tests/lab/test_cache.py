# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of images: complete or absent, built once, pruned with care. No machine is started."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import image, locks, paths, qemu
from lab.errors import LabError

SHAPE = qemu.Shape("tcg", "7.2.22", 2048, 2)


@dataclass(frozen=True)
class FakeBase:
    """Writes a file instead of a disk, and notes that it did."""

    notes: Path
    digest: str = "1"
    fails: bool = False
    label: str = "fake"
    settle_script: str = ""
    patience: float = 1.0

    def key(self) -> str:
        return f"{self.label}-{self.digest}"

    def boot_key(self) -> str:
        return "boot"

    def build(self, folder: Path) -> None:
        with self.notes.open("a") as out:
            out.write("built\n")
        (folder / "disk.qcow2").write_text("half")
        time.sleep(0.2)
        if self.fails:
            raise LabError("no disk today")
        (folder / "ssh_key").write_text("key")

    def boot_options(self, folder: Path, *, emulated: bool) -> list[str]:
        return []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BULKHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(image, "_boot_and_settle", lambda built, shape, folder: (folder / "ready.qcow2").touch())
    return tmp_path / "cache"


def folders(cache: Path) -> set[str]:
    return {entry.name for entry in cache.iterdir()} - {"locks"}


def test_built_once(cache: Path, tmp_path: Path) -> None:
    base = FakeBase(tmp_path / "notes")
    for _ in range(2):
        assert image.ensure_image(base, SHAPE).snapshot(SHAPE).exists()
    assert base.notes.read_text() == "built\n"
    assert folders(cache) == {"fake-1"}


def test_another_shape_boots_the_same_disk(cache: Path, tmp_path: Path) -> None:
    base = FakeBase(tmp_path / "notes")
    image.ensure_image(base, SHAPE)
    small = qemu.Shape("tcg", "7.2.22", 1024, 1)
    assert image.ensure_image(base, small).snapshot(small).exists()
    assert base.notes.read_text() == "built\n"


def test_a_failed_build_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no disk today"):
        image.ensure_image(FakeBase(tmp_path / "notes", fails=True), SHAPE)
    assert folders(cache) == set()


def test_what_a_killed_build_left_is_removed(cache: Path, tmp_path: Path) -> None:
    base = FakeBase(tmp_path / "notes")
    (paths.cache_dir() / ".building-fake-1-x").mkdir()
    (paths.cache_dir() / ".building-fake-2-x").mkdir()
    (paths.cache_dir() / ".building-fake-3-x").mkdir()
    at_work = locks.try_lock(image.build_lock("fake-3"))
    assert at_work is not None
    image.ensure_image(base, SHAPE)
    os.close(at_work)
    assert folders(cache) == {"fake-1", ".building-fake-3-x"}


def test_two_builders_at_once_build_one_image(cache: Path, tmp_path: Path) -> None:
    base = FakeBase(tmp_path / "notes")
    context = multiprocessing.get_context("fork")
    builders = [context.Process(target=image.ensure_image, args=(base, SHAPE)) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0, 0, 0]
    assert base.notes.read_text() == "built\n"


def old_image(cache: Path, name: str, days: float) -> Path:
    folder = paths.cache_dir() / name
    folder.mkdir()
    past = time.time() - days * 86400
    os.utime(folder, (past, past))
    return folder


def test_old_images_are_pruned_unless_recent_or_in_use(cache: Path, tmp_path: Path) -> None:
    for name, days in (("fake-a", 1), ("fake-b", 2), ("fake-c", 3), ("fake-d", 30), ("fake-e", 40), ("other-a", 99)):
        old_image(cache, name, days)
    held = locks.try_lock(image.use_lock("fake-e"), shared=True)
    assert held is not None
    image.ensure_image(FakeBase(tmp_path / "notes"), SHAPE)
    os.close(held)
    assert folders(cache) == {"fake-1", "fake-a", "fake-b", "fake-e", "other-a"}


def test_a_snapshot_that_is_unused_for_weeks_is_removed(cache: Path, tmp_path: Path) -> None:
    base = FakeBase(tmp_path / "notes")
    small = qemu.Shape("tcg", "7.2.22", 1024, 1)
    old = image.ensure_image(base, SHAPE).snapshot(SHAPE).parent
    past = time.time() - 30 * 86400
    os.utime(old, (past, past))
    assert image.ensure_image(base, small).snapshot(small).exists()
    assert not old.exists()


def test_an_image_that_is_unused_for_weeks_is_removed(cache: Path, tmp_path: Path) -> None:
    old_image(cache, "fake-a", 30)
    image.ensure_image(FakeBase(tmp_path / "notes"), SHAPE)
    assert folders(cache) == {"fake-1"}
