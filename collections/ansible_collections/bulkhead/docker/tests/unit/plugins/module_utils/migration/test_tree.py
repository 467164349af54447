# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of real trees, and a comparison that finds everything a copy can lose. Only root can change owners."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.migration import tree, walk
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.ids import IdMaps

ROOT = os.geteuid() == 0
ME, MY_GROUP = os.geteuid(), os.getegid()
IDS = IdMaps([[0, 231072, 65536]], [[0, 231072, 65536]]) if ROOT else IdMaps([[ME, ME, 1]], [[MY_GROUP, MY_GROUP, 1]])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "sub").mkdir(parents=True)
    (top / "file").write_bytes(b"content")
    os.link(top / "file", top / "sub" / "hard")
    (top / "soft").symlink_to("/nowhere")
    os.mkfifo(top / "pipe")
    with open(top / "holes", "wb") as handle:
        handle.seek(8 << 20)
        handle.write(b"end")
    (top / "program").write_bytes(b"#!")
    if ROOT:
        os.chown(top / "program", 33, 33)
        os.mknod(top / "whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    (top / "program").chmod(0o4755)
    if ROOT:
        os.setxattr(top / "program", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    (top / "sub").chmod(0o2770)
    os.utime(top / "file", ns=(10**18, 10**18 + 123456789))
    os.utime(top / "sub", ns=(10**18, 10**18))
    return top


@pytest.fixture
def copied(source: Path, tmp_path: Path) -> Path:
    tree.copy_tree(str(source), str(tmp_path / "target"), IDS)
    return tmp_path / "target"


def test_everything_is_copied(source: Path, copied: Path) -> None:
    assert tree.find_differences(str(source), str(copied), IDS) == []
    program, held = (copied / "program").stat(), (source / "program").stat()
    assert program.st_mode == held.st_mode and program.st_mode & stat.S_ISUID
    assert (copied / "file").stat().st_ino == (copied / "sub" / "hard").stat().st_ino
    assert (copied / "holes").stat().st_blocks == (source / "holes").stat().st_blocks
    assert (copied / "sub").stat().st_mtime_ns == 10**18
    if ROOT:
        assert program.st_uid == 231072 + 33
        assert os.getxattr(copied / "program", "security.capability")
        assert (copied / "whiteout").stat().st_rdev == 0


SPOILERS: dict[str, Callable[[Path], object]] = {
    "content": lambda top: _keep_times(top / "file", lambda p: p.write_bytes(b"CONTENT")),
    "holes filled": lambda top: _keep_times(top / "holes", _write_in_the_hole),
    "time": lambda top: os.utime(top / "file", ns=(0, 0)),
    "mode": lambda top: (top / "program").chmod(0o755),
    "hard link": lambda top: _keep_times(top / "file", _unlinked),
    "target": lambda top: ((top / "soft").unlink(), (top / "soft").symlink_to("/elsewhere"), _same_time(top / "soft")),
    "missing": lambda top: (top / "pipe").unlink(),
    "too much": lambda top: (top / "sub" / "more").touch(),
    "attribute": lambda top: _keep_times(top / "file", lambda p: os.setxattr(p, "user.more", b"1")),
}


def _keep_times(path: Path, change: Callable[[Path], object]) -> None:
    status = path.stat()
    change(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _same_time(path: Path) -> None:
    source = path.parent.parent / "source" / path.name
    status = source.lstat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _write_in_the_hole(path: Path) -> None:
    with open(path, "r+b") as handle:
        handle.seek(1 << 20)
        handle.write(b"x")


def _unlinked(path: Path) -> None:
    text, mode = path.read_bytes(), path.stat().st_mode
    owner = path.stat()
    path.unlink()
    path.write_bytes(text)
    os.chown(path, owner.st_uid, owner.st_gid)
    path.chmod(stat.S_IMODE(mode))


@pytest.mark.parametrize("what", SPOILERS)
def test_differences_are_found(source: Path, copied: Path, what: str) -> None:
    try:
        SPOILERS[what](copied)
    except OSError as error:
        pytest.skip(f"this file system has no such thing: {error}")
    assert tree.find_differences(str(source), str(copied), IDS)


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_owner_that_was_not_mapped_is_found(source: Path, copied: Path) -> None:
    os.chown(copied / "file", 0, 0)
    assert "owner" in tree.find_differences(str(source), str(copied), IDS)[0]


def test_survey_counts_and_lists_unmapped_owners(source: Path) -> None:
    survey = walk.TreeSurvey()
    survey.add(str(source), IdMaps([[500000, 1, 1]], [[500000, 1, 1]]))
    assert survey.inodes >= 7
    assert 8 < survey.bytes < 1 << 20  # the hole takes nothing
    assert f"user ID {ME}" in survey.unmapped[0]


def test_vanishing_files_fail_a_copy_but_not_a_survey(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = walk.TreeSurvey()
    whole.add(str(source), IDS)
    listdir = os.listdir

    def listed(path: str) -> list[str]:
        names = listdir(path)
        return [*names, "temporary"] if path.rstrip("/") == str(source) else names

    monkeypatch.setattr(os, "listdir", listed)
    survey = walk.TreeSurvey()
    survey.add(str(source), IDS)
    survey.add(str(source / "gone"), IDS)
    assert (survey.inodes, survey.bytes) == (whole.inodes, whole.bytes)
    with pytest.raises(FileNotFoundError, match="temporary"):
        tree.copy_tree(str(source), str(tmp_path / "target"), IDS)


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_survey_names_what_a_copy_cannot_do(source: Path, tmp_path: Path) -> None:
    """An entry of an access control list, a path that becomes too long, another file system; and the time is limited."""
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *e) for e in ((1, 6, 2**32 - 1), (2, 6, 80000), (4, 4, 2**32 - 1), (0x10, 6, 2**32 - 1), (0x20, 4, 2**32 - 1))
    )
    os.setxattr(source / "file", "system.posix_acl_access", acl)
    survey = walk.TreeSurvey(longer=4096 - len(str(source / "program")))
    survey.add(str(source), IDS)
    assert (survey.size, [text.rpartition("/")[2] for text in survey.unmapped]) == (80001, ["file: user ID 80000"])
    assert f"{str(source / 'program')[:80]}…: the path of its copy has more than 4096 bytes" in survey.errors
    late = walk.TreeSurvey(deadline=0)
    late.add(str(source), IDS)
    assert (late.unread, late.inodes) == ([str(source)], 0)


def test_other_file_systems_are_listed_or_an_error(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lstat = os.lstat

    def faked(path: str) -> os.stat_result:
        status = lstat(path)
        return os.stat_result((*status[:2], 99, *status[3:])) if str(path).endswith("/sub") else status

    monkeypatch.setattr(os, "lstat", faked)
    survey = walk.TreeSurvey()
    survey.add(str(source), IDS)
    assert survey.mounts == [f"{source}/sub"] and survey.errors == []
    with pytest.raises(OSError, match="is on another file system"):
        list(walk.walk_tree(str(source)))
