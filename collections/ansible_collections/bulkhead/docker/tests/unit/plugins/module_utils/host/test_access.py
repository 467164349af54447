# SPDX-License-Identifier: GPL-3.0-or-later
"""Owner, group and mode of files of a host of fixtures. The tests run as any user, so the owner stays the same except where chown is recorded."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import access
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host, Owner

UID, GID = os.getuid(), os.getgid()
PATH = "/etc/docker/daemon.json"
MEMORY = "/var/lib/bulkhead/files.json"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "etc/docker").mkdir(parents=True)
    (tmp_path / "etc/docker/daemon.json").write_text("{}")
    (tmp_path / "etc/docker/daemon.json").chmod(0o666)
    return Host(tmp_path)


def want(path: str = PATH, mode: int = 0o644) -> dict[str, Any]:
    return {"path": path, "uid": UID, "gid": GID, "mode": mode}


def read_mode(host: Host, path: str = PATH) -> int:
    return stat.S_IMODE(os.lstat(host.path(path)).st_mode)


def read_memory(host: Host) -> Any:
    return json.loads(host.read(MEMORY) or "{}")


def test_change_and_restore(host: Host) -> None:
    (step,) = access.apply_accesses(host, [want()], [], False)
    assert (step.changed, step.now, step.then) == (True, [UID, GID, 0o666], [UID, GID, 0o644])
    assert read_mode(host) == 0o644
    assert [step.changed for step in access.apply_accesses(host, [want()], [], False)] == [False]
    (step,) = access.apply_accesses(host, [], [PATH], False)
    assert (step.changed, read_mode(host), host.path(MEMORY).exists()) == (True, 0o666, False)
    assert access.apply_accesses(host, [], [PATH], False) == []


def test_check_mode_changes_nothing(host: Host) -> None:
    (step,) = access.apply_accesses(host, [want()], [], True)
    assert (step.changed, read_mode(host), host.path("/var/lib/bulkhead").exists()) == (True, 0o666, False)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o644, 0o000])
def test_a_stricter_mode_stays(host: Host, mode: int) -> None:
    host.path(PATH).chmod(mode)
    (step,) = access.apply_accesses(host, [want()], [], False)
    assert (step.changed, read_mode(host)) == (False, mode)


def test_what_was_changed_since_is_not_restored(host: Host) -> None:
    access.apply_accesses(host, [want()], [], False)
    host.path(PATH).chmod(0o600)
    (step,) = access.apply_accesses(host, [], [PATH], False)
    assert (step.changed, read_mode(host), read_memory(host)) == (False, 0o600, {})


def test_a_later_value_is_the_one_that_is_restored(host: Host) -> None:
    access.apply_accesses(host, [want()], [], False)
    host.path(PATH).chmod(0o664)
    access.apply_accesses(host, [want()], [], False)
    access.apply_accesses(host, [want(mode=0o600)], [], False)
    access.apply_accesses(host, [], [PATH], False)
    assert read_mode(host) == 0o664


def test_a_file_that_is_gone_is_forgotten(host: Host) -> None:
    access.apply_accesses(host, [want()], [], False)
    host.path(PATH).unlink()
    (step,) = access.apply_accesses(host, [], [PATH], False)
    assert (step.changed, read_memory(host)) == (False, {})


def test_a_socket_that_was_created_anew_is_not_restored(host: Host) -> None:
    path = "/etc/docker/s"
    for number in (1, 2):
        os.mknod(host.path(path), stat.S_IFSOCK | 0o600)
        host.path(path).chmod(0o666 if number == 1 else 0o660)
        if number == 1:
            access.apply_accesses(host, [want(path, 0o660)], [], False)
            assert read_mode(host, path) == 0o660
            host.path(path).rename(host.path("/old"))  # the old inode stays in use
    access.apply_accesses(host, [], [path], False)
    assert read_mode(host, path) == 0o660


@pytest.mark.parametrize("where", ["file", "folder"])
def test_no_link_is_followed(host: Host, where: str) -> None:
    secret = host.path("/secret")
    secret.mkdir()
    (secret / "daemon.json").write_text("")
    (secret / "daemon.json").chmod(0o666)
    host.path(PATH).unlink()
    if where == "file":
        host.path(PATH).symlink_to(secret / "daemon.json")
    else:
        host.path("/etc/docker").rmdir()
        host.path("/etc/docker").symlink_to(secret)
    (step,) = access.apply_accesses(host, [want()], [], False)
    assert not step.changed and step.skipped
    assert stat.S_IMODE((secret / "daemon.json").stat().st_mode) == 0o666


def test_hard_links_are_skipped(host: Host) -> None:
    os.link(host.path(PATH), host.path("/other"))
    (step,) = access.apply_accesses(host, [want()], [], False)
    assert (step.skipped, read_mode(host)) == ("it has 2 hard links", 0o666)


def test_a_missing_file_is_skipped(host: Host) -> None:
    (step,) = access.apply_accesses(host, [want("/etc/none")], [], False)
    assert step.skipped == "No such file or directory" and not step.changed


def test_another_users_file_in_a_home_is_skipped(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: UID + 1)  # the test's folder is closed to other users
    host.owners = (Owner("/etc/docker", UID + 1, GID),)
    (step,) = access.apply_accesses(host, [want()], [], False)
    assert "is in the home of user" in step.skipped and not step.changed
    assert read_mode(host) == 0o666


def test_the_owner_is_changed_before_the_mode(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(os, "chown", lambda place, uid, gid: calls.append(("chown", uid, gid)))
    monkeypatch.setattr(os, "chmod", lambda place, mode: calls.append(("chmod", mode)))
    access.apply_accesses(host, [{**want(), "gid": GID + 7}], [], False)
    assert calls == [("chown", UID, GID + 7), ("chmod", 0o644)]


def test_no_file_is_given_to_an_ordinary_user(host: Host) -> None:
    (step,) = access.apply_accesses(host, [{**want(), "uid": UID + 7}], [], False)
    assert (step.changed, step.skipped) == (False, f"it is owned by user {UID}, and no file is given to an ordinary user")
    assert read_mode(host) == 0o666 and not host.path(MEMORY).exists()


@pytest.mark.parametrize("call", ["chmod", "chown"])
def test_an_interrupted_run_can_be_repeated(host: Host, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def stop(*unused: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, call, stop)
        with pytest.raises(KeyboardInterrupt):
            access.apply_accesses(host, [{**want(), "gid": GID + (call == "chown")}], [], False)
    if call == "chown":
        assert read_mode(host) == 0o666
    access.apply_accesses(host, [want()], [], False)
    assert read_mode(host) == 0o644
    access.apply_accesses(host, [], [PATH], False)
    assert read_mode(host) == 0o666


def fail(*unused: Any) -> None:
    raise OSError(30, "Read-only file system")


def test_what_cannot_be_changed_is_skipped_and_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chmod", fail)
    (step,) = access.apply_accesses(host, [want()], [], False)
    assert (step.changed, step.skipped) == (False, "Read-only file system")


def test_a_failed_restoring_is_remembered(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    access.apply_accesses(host, [want()], [], False)
    with monkeypatch.context() as patched:
        patched.setattr(os, "chmod", fail)
        access.apply_accesses(host, [], [PATH], False)
    assert PATH in read_memory(host)["files"]
    access.apply_accesses(host, [], [PATH], False)
    assert read_mode(host) == 0o666
