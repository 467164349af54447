# SPDX-License-Identifier: GPL-3.0-or-later
"""How an engine runs: its flags by the unit and by the process, its data root and its socket."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import configuration
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.unit import Unit


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


@pytest.mark.parametrize(
    ("argv", "arguments"),
    [
        ([], []),
        (["/usr/bin/nice", "-n", "5", "/usr/sbin/dockerd", "--debug"], ["--debug"]),
        (shell("exec dockerd --data-root=/srv/docker"), ["--data-root=/srv/docker"]),
        (shell("exec /usr/bin/dockerd"), []),
        (["/bin/bash", "-ec", "ulimit -n 100; exec dockerd $OPTS >>/var/log/docker.log 2>&1"], ["--icc=false", "--debug"]),
        (shell("modprobe overlay && exec dockerd --label 'a b'"), ["--label", "a b"]),
        (shell("exec dockerd ${OPTS} $UNSET"), ["--icc=false", "--debug"]),
        (shell("exec dockerd $QUOTED"), ["--label='a", "b'"]),
        (shell("exec dockerd $(cat /etc/flags)"), None),
        (shell("exec dockerd `cat /etc/flags`"), None),
        (shell("OPTS=--icc=true; exec dockerd $OPTS"), None),
        (shell("if true; then exec dockerd --a; fi"), None),
        (shell("exec dockerd --label 'a"), None),
        (shell("exec /usr/local/bin/start"), None),
        (["/usr/local/bin/start-engine", "--fast"], None),
    ],
)
def test_arguments_of_a_command_line(argv: list[str], arguments: list[str] | None) -> None:
    environment = {"OPTS": "--icc=false --debug", "QUOTED": "--label='a b'"}
    found, unknown = configuration.read_arguments(argv, environment)
    assert (found, bool(unknown)) == (arguments or [], arguments is None)


def make_process(*argv: str, **more: Any) -> dict[str, Any]:
    return {"pid": 7, "argv": ["/usr/sbin/dockerd", *argv], "rootless": False, **more}


def test_the_process_tells_what_a_wrapper_hides() -> None:
    wrapper = Unit(argv=["/usr/local/bin/start"])
    assert configuration.describe_command(wrapper, None)["unknown"]
    found = configuration.describe_command(wrapper, make_process("--data-root=/srv"))
    assert (found["flags"], found["unknown"], found["differing"]) == ({"data-root": "/srv"}, "", {})


def test_process_and_unit_differ() -> None:
    edited = Unit(argv=["/usr/sbin/dockerd", "--data-root=/b", "--debug"])
    found = configuration.describe_command(edited, make_process("--data-root=/a", "--icc=false"))
    assert found["flags"] == {"data-root": "/b", "debug": "true", "icc": "false"}
    assert found["differing"] == {"data-root": ["/a", "/b"], "icc": ["false", None], "debug": [None, "true"]}
    assert configuration.describe_command(edited, make_process("--debug", rootless=True))["differing"] == {}


@pytest.mark.parametrize(
    ("flags", "content", "root"),
    [
        ({}, {}, "/var/lib/docker"),
        ({}, {"data-root": None}, "/var/lib/docker"),
        ({}, {"graph": "/old/"}, "/old"),
        ({"data-root": "/srv/docker"}, {}, "/srv/docker"),
        ({"graph": "/g"}, {}, "/g"),
    ],
)
def test_data_root(flags: dict[str, str], content: dict[str, Any], root: str) -> None:
    assert configuration.find_data_root(flags, content) == root


@pytest.mark.parametrize(
    ("flags", "content", "socket"),
    [
        ({}, {}, "/var/run/docker.sock"),
        ({"host": "fd://"}, {}, "/var/run/docker.sock"),
        ({"host": "tcp://127.0.0.1:2375"}, {}, "/var/run/docker.sock"),
        ({"host": "tcp://127.0.0.1:2375,unix:///run/other.sock"}, {}, "/run/other.sock"),
        ({"host": "unix:///run/other.sock,unix:///run/docker.sock"}, {}, "/var/run/docker.sock"),
        ({}, {"hosts": ["unix:///run/x.sock"]}, "/run/x.sock"),
        ({}, {"hosts": None}, "/var/run/docker.sock"),
    ],
)
def test_socket(flags: dict[str, str], content: dict[str, Any], socket: str) -> None:
    assert configuration.find_configured_socket(flags, content, ROOTFUL, []) == socket


@pytest.mark.parametrize(
    ("host", "listen", "socket"),
    [
        ("fd://", ["/run/other.sock"], "/run/other.sock"),
        ("fd://", ["/run/other.sock", "/run/docker.sock"], "/var/run/docker.sock"),
        ("fd://", ["127.0.0.1:2375"], "/var/run/docker.sock"),
        ("unix:///run/x.sock", ["/run/other.sock"], "/run/x.sock"),  # the sockets of systemd are not passed on
    ],
)
def test_socket_of_systemd(host: str, listen: list[str], socket: str) -> None:
    assert configuration.find_configured_socket({"host": host}, {}, ROOTFUL, listen) == socket


def test_socket_of_a_rootless_engine() -> None:
    user = Instance("u", 1000, 1000, "/home/u")
    assert configuration.find_configured_socket({}, {}, user, []) == "/run/user/1000/docker.sock"


def test_folder_of_a_remapped_root_is_stripped() -> None:
    assert configuration.strip_remapped("/srv/docker/231072.231072") == "/srv/docker"
    assert configuration.strip_remapped("/srv/docker") == "/srv/docker"
