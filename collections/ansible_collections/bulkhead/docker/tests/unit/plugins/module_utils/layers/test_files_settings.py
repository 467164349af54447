# SPDX-License-Identifier: GPL-3.0-or-later
"""Which owner, group and mode a socket gets each time it is created."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.unit import read_unit
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.files.observe import list_settings

from ...builders import write_files

SOCKET, CONTAINERD = "/run/docker.sock", "/etc/containerd/config.toml"
UNIT, DROP_IN = "/usr/lib/systemd/system/docker.socket", "/etc/systemd/system/docker.socket.d/a.conf"


def run(host: Host, group: str = "", socket: str = SOCKET) -> dict[str, list[tuple[Any, ...]]]:
    found = list_settings(host, socket, read_unit(host, name="docker.socket"), (group, "/etc/docker/daemon.json"))
    return {kind: [(part, value, *setting.split(" in ")) for part, value, setting in entries] for kind, entries in found.items() if entries}


@pytest.mark.parametrize(
    ("unit", "drop_in", "expected"),
    [
        ("", "", {"SocketUser=": "root", "SocketGroup=": "root", "SocketMode=": "0666"}),
        ("SocketMode=0660\nSocketGroup=docker\n", "", {"SocketUser=": "root", "SocketGroup=": "docker", "SocketMode=": "0660"}),
        ("SocketMode=0660\n", "SocketMode=0606\nSocketUser=ann\n", {"SocketUser=": "ann", "SocketGroup=": "root", "SocketMode=": "0606"}),
        ("SocketMode=0660\n", "SocketMode=\n", {"SocketUser=": "root", "SocketGroup=": "root", "SocketMode=": "0666"}),
    ],
)
def test_the_last_setting_of_the_unit_counts(host: Host, unit: str, drop_in: str, expected: dict[str, str]) -> None:
    write_files(host, {UNIT: f"[Socket]\nListenStream=/var/run/docker.sock\n{unit}", DROP_IN: f"[Socket]\n{drop_in}"})
    assert {key: value for unused, value, key, source in run(host)["socket"]} == expected
    sources = {key: source for unused, unused_value, key, source in run(host)["socket"]}
    assert sources == {key: DROP_IN if key in drop_in else UNIT for key in expected}


def test_a_unit_of_another_socket_and_no_unit(host: Host) -> None:
    assert run(host) == {}
    write_files(host, {UNIT: "[Socket]\nListenStream=/run/other.sock\nSocketMode=0666\n"})
    assert run(host) == {}


def test_the_engines_group(host: Host) -> None:
    assert run(host, "ops") == {"socket": [(1, "ops", "group", "/etc/docker/daemon.json")]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version = 2\n", []),
        ("[grpc]\ngid = 0\n", []),
        ("[grpc]\nuid = 5\ngid = 110\n", [(0, "5", "uid", CONTAINERD), (1, "110", "gid", CONTAINERD)]),
        ('[grpc]\naddress = "/c"\ngid = 7\n[ttrpc]\ngid = 8\n', [(1, "7", "gid", CONTAINERD), (1, "8", "gid", CONTAINERD)]),
        ("grpc = 5\n", []),
        ("[grpc\n", []),
    ],
)
def test_containerds_sockets(host: Host, text: str, expected: list[tuple[Any, ...]]) -> None:
    write_files(host, {CONTAINERD: text})
    assert run(host) == ({"containerd_socket": expected} if expected else {})
