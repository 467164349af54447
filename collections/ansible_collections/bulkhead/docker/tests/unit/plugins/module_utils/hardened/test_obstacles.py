# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host would reject of a container is found before the container that it replaces is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened import obstacles
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files

ENTRY = {"name": "shop", "state": "present", "cpus": 1, "apparmor_profile": "web", "network": "", "ports": [], "volumes": []}
INFO = {"NCPU": 2, "SecurityOptions": ["name=apparmor"]}
HEAD = "  sl  local_address rem_address   st\n"
# Lines of /proc/net/tcp, tcp6 and udp on a little-endian host: 127.0.0.1:22, 0.0.0.0:80 established, [::1]:81, 0.0.0.0:53.
TCP = HEAD + "   0: 0100007F:0016 00000000:0000 0A 0\n   1: 00000000:0050 0A00020F:9C40 01 0\n"
TCP6 = HEAD + "   0: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 0\n"
UDP = HEAD + "   0: 00000000:0035 00000000:0000 07 0\n"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    files = {
        "proc/net/tcp": TCP,
        "proc/net/tcp6": TCP6,
        "proc/net/udp": UDP,
        "proc/sys/fs/nr_open": "1048576\n",
        "sys/kernel/security/apparmor/profiles": "web (enforce)\ndocker-default (enforce)\n/usr/bin/man (x) (enforce)\n",
    }
    return write_files(tmp_path, files)


@pytest.fixture(autouse=True)
def _addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obstacles, "is_local_address", lambda address: address != "10.9.9.9")


def find(host: Host, answers: dict[str, Any] | None = None, starting: set[str] | None = None, **entry: Any) -> list[str]:
    asked = {"/info": INFO, **(answers or {})}
    return list(obstacles.find_obstacles(host, asked.get, [{**ENTRY, **entry}], {"shop"} if starting is None else starting))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"cpus": 2.5}, "container shop: cpus is 2.5 and the engine has 2; write a lower number"),
        ({"ulimits": {"nofile": 1048577}}, "container shop: ulimits.nofile is 1048577 and the kernel allows 1048576 (fs.nr_open); write a lower number"),
        ({"apparmor_profile": "nosuch"}, "AppArmor profile nosuch is not loaded; run role apparmor_profiles first"),
        ({"network": "front"}, "network front does not exist; create it first (docker network create front)"),
        ({"network": "container:web"}, "network container:web names a container that does not exist; create it first"),
        ({"ports": ["22:22"]}, "port 22:22: another process of the host listens there; stop it first (ss -lnp 'sport = :22' names it)"),
        ({"ports": ["127.0.0.1:22:80"]}, "another process of the host listens there"),
        ({"ports": ["81:80"]}, "another process of the host listens there"),
        ({"ports": ["[::1]:81:80"]}, "another process of the host listens there"),
        ({"ports": ["53:53/udp"]}, "another process of the host listens there"),
        ({"ports": ["10.9.9.9:90:80"]}, "port 10.9.9.9:90:80: this host does not have the address 10.9.9.9; write one that it has"),
    ],
)  # fmt: skip
def test_obstacles_are_named(host: Host, entry: dict[str, Any], words: str) -> None:
    (obstacle,) = find(host, **entry)
    assert words in obstacle
    assert find(host, starting=set(), **entry) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"cpus": 2},
        {"apparmor_profile": ""},
        {"apparmor_profile": "/usr/bin/man (x)"},
        {"network": "host"},
        {"network": "container:shop"},
        {"ports": ["80:80", "127.0.0.2:22:22", "53:53", "22:22/udp", "[::2]:81:81", "0:80"]},
    ],
)
def test_a_container_without_obstacles(host: Host, entry: dict[str, Any]) -> None:
    assert find(host, **entry) == []


def test_networks_that_exist(host: Host) -> None:
    assert find(host, {"/networks/front": {}}, network="front") == []
    assert find(host, {"/containers/web/json": {}}, network="container:web") == []


def test_user_namespaces_exclude_the_network_of_the_host(host: Host) -> None:
    remapped = {"/info": {"NCPU": 2, "SecurityOptions": ["name=userns"]}}
    (obstacle,) = find(host, remapped, network="host")
    assert "network host is rejected by an engine with userns-remap; publish ports" in obstacle


def test_a_rootless_engine_loads_no_profile(host: Host) -> None:
    assert find(host, {"/info": {"SecurityOptions": ["name=rootless"]}}, apparmor_profile="nosuch") == []


def test_without_apparmor_no_profile_is_required(tmp_path: Path) -> None:
    assert find(Host(tmp_path), apparmor_profile="nosuch") == []


def test_ports_of_containers(host: Host) -> None:
    def running(name: str) -> dict[str, Any]:
        return {"/containers/json": [{"Names": [f"/{name}"], "Ports": [{"IP": "127.0.0.1", "PublicPort": 22, "Type": "tcp"}]}]}

    (obstacle,) = find(host, running("other"), ports=["22:80"])
    assert "port 22:80 is published by container other; stop it first, or write another port" in obstacle
    # The container that is replaced has the port itself.
    assert find(host, running("shop"), ports=["22:80"]) == []


def test_missing_sources_are_a_warning(host: Host) -> None:
    entry = {**ENTRY, "volumes": ["/proc/net:/a", "/srv/none:/b:ro", "data:/c", "/d"]}
    (warning,) = obstacles.find_missing_sources(host, [entry], {"shop"})
    assert warning == "container shop: /srv/none does not exist; the engine makes an empty folder of root there. Create it first"
    assert not list(obstacles.find_missing_sources(host, [entry], set()))
