# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures import inside


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for the root of every process."""
    monkeypatch.setattr(inside, "_open_root", lambda _pid: os.open(tmp_path, os.O_PATH | os.O_DIRECTORY))
    return tmp_path


def test_links_do_not_leave_the_root(root: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("inside")
    for name, target in (("absolute", "/etc/passwd"), ("relative", "../../../../etc/passwd"), ("out", "/etc/shadow"), ("folder", "/..")):
        (root / name).symlink_to(target)
    found = inside.stat_inside(1, ["/absolute", "/relative", "/../../etc/passwd", "/out", "/folder/etc/passwd", "/absolute/x"], 10)
    own = os.stat(root / "etc/passwd")
    fields = (own.st_mode, own.st_dev, own.st_ino, own.st_rdev)
    assert found == {
        "/absolute": fields,
        "/relative": fields,
        "/../../etc/passwd": fields,
        "/out": "No such file or directory",
        "/folder/etc/passwd": fields,
        "/absolute/x": "Not a directory",
    }


def test_links_of_proc_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "_open_root", lambda _pid: os.open("/", os.O_PATH))
    assert inside.stat_inside(1, ["/proc/self/exe"], 10) == {"/proc/self/exe": "Too many levels of symbolic links"}


def test_own_root_and_a_missing_process() -> None:
    found = os.stat("/dev/null")
    fields = (found.st_mode, found.st_dev, found.st_ino, found.st_rdev)
    assert inside.stat_inside(os.getpid(), ["/dev/null"], 10) == {"/dev/null": fields}
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert inside.stat_inside(child, ["/a", "/b"], 10) == dict.fromkeys(["/a", "/b"], "No such file or directory")
    assert inside.list_nodes(child, "/dev", 10) == {"/dev": "No such file or directory"}


def test_child_that_does_not_answer_is_killed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first path is answered; a FUSE mount would stop the second one."""
    children = root / "children"

    def stat_path(descriptor: int, path: str, flags: int) -> int:
        if path == "/slow":
            children.write_text(str(os.getpid()))
            time.sleep(60)
        return os.dup(descriptor)

    monkeypatch.setattr(inside, "_open_in_root", stat_path)
    begin = time.monotonic()
    found = inside.stat_inside(1, ["/", "/slow", "/after"], 0.5)
    assert time.monotonic() - begin < 10
    assert isinstance(found["/"], tuple)
    assert found["/slow"] == found["/after"] == "not read within 0.5 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int(children.read_text()), 0)


def test_child_that_cannot_be_killed_is_not_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "_open_in_root", lambda *_unused: time.sleep(60))
    kill, children = os.kill, []
    monkeypatch.setattr(inside.os, "kill", lambda pid, number: children.append((pid, number)))
    try:
        begin = time.monotonic()
        assert inside.stat_inside(1, ["/a"], 0.2) == {"/a": "not read within 0.2 s"}
        assert time.monotonic() - begin < 10
    finally:
        ((child, number),) = children
        kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert number == signal.SIGKILL


def test_child_that_ends_early(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "_open_in_root", lambda *_unused: os._exit(3))
    assert inside.stat_inside(1, ["/a"], 10) == {"/a": "the process that reads it ended early"}


def test_answer_has_a_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def list_rows() -> Iterator[Any]:
        while True:
            yield "/x" * 1000, "error"

    found = inside._run_child(list_rows, ["/y"], 30)
    assert found == {"/x" * 1000: "error", "/y": f"more than {1 << 20} bytes"}


def test_names_that_are_not_text(root: Path) -> None:
    path = "/" + os.fsdecode(b"\xff\n")
    (root / path[1:]).write_text("")
    assert isinstance(inside.stat_inside(1, [path], 10)[path], tuple)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes")
def test_nodes_of_a_folder(root: Path) -> None:
    os.makedirs(root / "dev/bus/usb")
    os.makedirs(root / "dev/1/2/3/4/5")
    try:
        os.mknod(root / "dev/disk", 0o600 | stat.S_IFBLK, os.makedev(8, 0))
        os.mknod(root / "dev/bus/usb/1", 0o600 | stat.S_IFCHR, os.makedev(189, 1))
        os.mknod(root / "outside", 0o600 | stat.S_IFCHR, os.makedev(1, 1))
    except PermissionError:
        pytest.skip("makes device nodes")
    (root / "dev/link").symlink_to("../outside")
    (root / "dev/folder").symlink_to("..")
    (root / "dev/file").write_text("")
    found = inside.list_nodes(1, "/dev", 10)
    assert {path: row if isinstance(row, str) else (stat.S_IFMT(row[0]), row[3]) for path, row in found.items()} == {
        "/dev/disk": (stat.S_IFBLK, os.makedev(8, 0)),
        "/dev/bus/usb/1": (stat.S_IFCHR, os.makedev(189, 1)),
        "/dev/1/2/3/4/5": "deeper than 4 folders",
    }


def test_folder_with_too_many_entries(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "_MAX_ENTRIES", 3)
    for number in range(4):
        (root / str(number)).write_text("")
    assert inside.list_nodes(1, "/", 10) == {"/": "more than 3 entries"}
    (root / "3").unlink()
    assert inside.list_nodes(1, "/", 10) == {}
