# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import files, state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files

ME = (os.getuid(), os.getgid())


@pytest.fixture(autouse=True)
def _own_files_as_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "fchown", lambda *_: None)


def test_new_file_gets_the_mode(tmp_path: Path) -> None:
    target = tmp_path / "daemon.json"
    files.write_atomically(target, "{}\n", mode=0o600, owner=ME)
    assert target.read_text() == "{}\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "subuid"
    target.write_text("a")
    target.chmod(0o640)
    files.write_atomically(target, "b", mode=0o644, owner=ME)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["subuid"]


def test_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text("old")
    link = tmp_path / "daemon.json"
    link.symlink_to("real.json")
    files.write_atomically(link, "new", owner=ME)
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_bytes_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "subuid"
    target.write_bytes(b"m\xfcller:1:2\n")
    text = Host(tmp_path).read("/subuid")
    assert text is not None
    files.write_atomically(target, text + "x:3:4\n", owner=ME)
    assert target.read_bytes() == b"m\xfcller:1:2\nx:3:4\n"


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "daemon.json"
    target.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(target, "new", owner=ME)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["daemon.json"]


def test_state_is_private_and_removed_when_empty(tmp_path: Path) -> None:
    host = Host(tmp_path)
    state.save(host, "daemon", {"keys": ["icc"]})
    path = tmp_path / "var/lib/bulkhead/daemon.json"
    assert state.load(host, "daemon") == {"keys": ["icc"]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    state.save(host, "daemon", {})
    assert not path.exists()


@pytest.mark.parametrize("damage", ["{", "[]", "\0\0"])
def test_damaged_state_is_named(tmp_path: Path, damage: str) -> None:
    host = write_files(tmp_path, {"var/lib/bulkhead/daemon.json": damage})
    with pytest.raises(ValueError, match=r"/var/lib/bulkhead/daemon\.json"):
        state.load(host, "daemon")


def test_second_lock_is_rejected(tmp_path: Path) -> None:
    host = Host(tmp_path)
    with state.lock_host(host), pytest.raises(BlockingIOError, match="another run is changing this host"), state.lock_host(host):
        pass
    with state.lock_host(host):
        pass
