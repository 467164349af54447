# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of docker.service, read from its unit files."""

from __future__ import annotations

import os

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import flags, unit
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host, Owner

DEBIAN = (
    "[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd.sock $DOCKER_OPTS\n"
)
FRAGMENT = "/usr/lib/systemd/system/docker.service"
OVERRIDE = "/etc/systemd/system/docker.service.d/override.conf"


def _put(host: Host, path: str, text: str) -> None:
    host.path(path).parent.mkdir(parents=True, exist_ok=True)
    host.path(path).write_text(text)


def test_missing_unit_is_empty(host: Host) -> None:
    assert unit.read_unit(host) == unit.Unit()


def test_variables_of_the_environment_file_are_expanded(host: Host) -> None:
    _put(host, FRAGMENT, DEBIAN)
    _put(host, "/etc/default/docker", '# DOCKER_OPTS="--icc=true"\nDOCKER_OPTS="--icc=false --dns 9.9.9.9"\n')
    found = unit.read_unit(host)
    assert flags.find_dockerd_arguments(found.argv) == [
        "-H",
        "fd://",
        "--containerd=/run/containerd.sock",
        "--icc=false",
        "--dns",
        "9.9.9.9",
    ]
    assert unit.find_flag_file("icc", found.files) == "/etc/default/docker"
    assert unit.find_flag_file("host", found.files) == FRAGMENT


def test_last_drop_in_is_valid(host: Host) -> None:
    _put(host, FRAGMENT, DEBIAN)
    _put(
        host, OVERRIDE, "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd \\\n  --userland-proxy=false \\\n  -H unix:///run/docker.sock\n"
    )
    found = unit.read_unit(host)
    assert flags.parse_command_line(found.argv) == {"userland-proxy": "false", "host": "unix:///run/docker.sock"}
    assert unit.find_flag_file("userland-proxy", found.files) == OVERRIDE


def test_flag_in_a_comment_is_ignored(host: Host) -> None:
    _put(host, FRAGMENT, DEBIAN + "# --icc=false\n")
    assert unit.find_flag_file("icc", unit.read_unit(host).files) == ""


def test_unit_in_etc_replaces_the_distributions(host: Host) -> None:
    _put(host, FRAGMENT, DEBIAN)
    _put(host, "/etc/systemd/system/docker.service", "[Service]\nExecStart=/usr/bin/nice dockerd --icc=false\n")
    found = unit.read_unit(host)
    assert list(found.files) == ["/etc/systemd/system/docker.service"]
    assert flags.find_dockerd_arguments(found.argv) == ["--icc=false"]


def test_drop_ins_are_sorted_and_etc_comes_first(host: Host) -> None:
    for path in ("/usr/lib/systemd/system/x.d/10-a.conf", "/etc/systemd/system/x.d/10-a.conf", "/run/systemd/system/x.d/05-b.conf"):
        _put(host, path, "")
    _put(host, "/usr/lib/systemd/system/x.d/20-c.conf", "")
    host.path("/etc/systemd/system/x.d/20-c.conf").symlink_to("/dev/null")
    assert unit.list_drop_ins(host, "x.d") == ["/run/systemd/system/x.d/05-b.conf", "/etc/systemd/system/x.d/10-a.conf"]


def test_environment_file_is_read_with_the_users_rights(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    user = Instance("u", 990, 991, "/home/u")
    _put(host, "/etc/systemd/user/docker.service", "[Service]\nEnvironmentFile=/root/secret\nExecStart=dockerd-rootless.sh --label=${PW}\n")
    _put(host, "/root/secret", "PW=hunter2\n")
    taken: list[Owner | None] = []
    real = Host.read

    def read(self: Host, path: str, limit: int = 1 << 20, user: Owner | None = None) -> str | None:
        if path == "/root/secret":
            taken.append(user)
            raise PermissionError(13, "Permission denied", path)
        return real(self, path, limit, user)

    monkeypatch.setattr(Host, "read", read)
    found = unit.read_unit(host, user)
    assert taken == [Owner("/home/u", 990, 991)]
    assert found.argv == ["dockerd-rootless.sh", "--label="] and "/root/secret" not in found.files


def test_environment_file_that_is_a_pipe_is_ignored(host: Host) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    _put(host, "/etc/systemd/user/docker.service", "[Service]\nEnvironmentFile=/tmp/fifo\nExecStart=dockerd-rootless.sh\n")
    host.path("/tmp").mkdir()
    os.mkfifo(host.path("/tmp/fifo"))
    assert unit.read_unit(host, user).argv == ["dockerd-rootless.sh"]
