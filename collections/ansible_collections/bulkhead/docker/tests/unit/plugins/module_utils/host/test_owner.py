# SPDX-License-Identifier: GPL-3.0-or-later
"""Access to files in users' folders, and the instances of a host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance, find_instance, get_observed_instance
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host, Owner

from ...builders import write_files


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "home/u/.config").mkdir(parents=True)
    (tmp_path / "secret").write_text("roots alone")
    if os.geteuid() == 0:
        tmp_path.chmod(0o755)
    return Host(tmp_path, (Owner("/home/u", os.geteuid(), os.getegid()),))


def test_file_of_a_user_is_read(host: Host) -> None:
    host.path("/home/u/.config/f").write_text("x")
    assert host.read("/home/u/.config/f") == "x"
    assert host.read("/home/u/.config/none") is None


def test_links_in_a_users_folder_are_not_followed(host: Host) -> None:
    host.path("/home/u/.config/f").symlink_to(host.path("/secret"))
    with pytest.raises(OSError, match="symbolic links"):
        host.read("/home/u/.config/f")
    assert host.read("/secret") == "roots alone"


def test_pipe_in_a_users_folder_is_rejected(host: Host) -> None:
    os.mkfifo(host.path("/home/u/.config/f"))
    with pytest.raises(OSError, match="not a regular file"):
        host.read("/home/u/.config/f")


def test_pipe_outside_is_rejected(host: Host) -> None:
    os.mkfifo(host.path("/fifo"))
    with pytest.raises(OSError, match="not a regular file"):
        host.read("/fifo")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_named_file_is_read_with_the_users_rights(host: Host) -> None:
    host.path("/secret").chmod(0o600)
    with pytest.raises(PermissionError):
        host.read("/secret", user=Owner("/home/u", 65534, 65534))
    assert host.read("/secret") == "roots alone"


def test_named_file_must_be_regular(host: Host) -> None:
    host.path("/null").symlink_to("/dev/null")
    with pytest.raises(OSError, match="not a regular file"):
        host.read("/null", user=Owner("/home/u", os.geteuid(), os.getegid()))
    assert host.read("/null") == ""


@pytest.mark.parametrize(
    ("path", "owned"), [("/home/u/.config/x", True), ("/home/u", False), ("/home/u2/x", False), ("/etc/passwd", False)]
)
def test_find_owner(host: Host, path: str, owned: bool) -> None:
    assert (host.find_owner(path) is not None) == owned


def test_find_instance(tmp_path: Path) -> None:
    host = write_files(tmp_path, {"etc/passwd": "root:x:0:0::/root:/bin/sh\nu:x:990:991::/home/u/:/bin/sh\n"})
    assert find_instance(host, None) == find_instance(host, "") == ROOTFUL
    user = find_instance(host, "u")
    assert user == Instance("u", 990, 991, "/home/u")
    assert (user.socket, user.config) == ("/run/user/990/docker.sock", "/home/u/.config/docker/daemon.json")
    assert user.drop_in == "/etc/systemd/user/docker-.scope.d/10-bulkhead-pids.conf"
    assert user.scope_host(host).owners == (Owner("/home/u", 990, 991),)
    assert find_instance(host, "nobody-knows").uid is None
    assert get_observed_instance({"instance": user.as_dict()}) == user
    assert get_observed_instance({}) == ROOTFUL


def test_owns_process() -> None:
    user = Instance("u", 990, 991, "/home/u")
    assert user.owns_process({"rootless": True, "uid": 990}) and not user.owns_process({"rootless": True, "uid": 1000})
    assert not user.owns_process({"rootless": False, "uid": 990})
    assert ROOTFUL.owns_process({"rootless": False, "uid": 0}) and not ROOTFUL.owns_process({"rootless": True, "uid": 990})


@pytest.mark.parametrize(("size", "is_read"), [(0, True), (10, True), (11, False), (200_000, False)])
def test_a_file_is_read_whole_or_not_at_all(host: Host, size: int, is_read: bool) -> None:
    host.path("/large").write_text("x" * size)
    if is_read:
        assert host.read("/large", limit=10) == "x" * size
        return
    with pytest.raises(OSError, match=r"is larger than the limit of 10 bytes and was not read: '/large'"):
        host.read("/large", limit=10)


def test_default_limit_is_far_above_real_files(host: Host) -> None:
    host.path("/subuid").write_text("user:100000:65536\n" * 300_000)  # 5.4 MB
    assert len(host.read("/subuid") or "") == 18 * 300_000
