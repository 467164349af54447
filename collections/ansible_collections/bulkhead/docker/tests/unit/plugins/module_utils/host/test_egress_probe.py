# SPDX-License-Identifier: GPL-3.0-or-later
"""From where the probe connects, and what it tells ip. The connections themselves are tested on a machine (molecule/shared/tests/test_egress.py)."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.egress_probe import choose_sources
from ansible_collections.bulkhead.docker.plugins.module_utils.host.namespaces import ProbeError
from ansible_collections.bulkhead.docker.plugins.module_utils.host.stand_in_host import Link

LINK_LOCAL = {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}
LISTED = {"networks": ["shop"], "projects": ["store"]}


def make_device(name: str, *addresses: str) -> dict[str, Any]:
    info = [LINK_LOCAL]
    for address in addresses:
        local, _slash, prefix = address.partition("/")
        info.append({"family": "inet6" if ":" in local else "inet", "local": local, "prefixlen": int(prefix), "scope": "global"})
    return {"ifname": name, "addr_info": info}


def make_network(name: str, bridge: str, project: str = "", internal: bool = False) -> dict[str, Any]:
    return {"name": name, "bridge": bridge, "project": project, "internal": internal}


def test_one_bridge_of_each_kind_is_tried() -> None:
    networks = [
        make_network("bridge", "docker0"),
        make_network("shop", "br-a"),
        make_network("other", "br-b", "store"),
        make_network("plain", "br-c"),
        make_network("six", "br-d"),
        make_network("closed", "br-e", internal=True),
        make_network("wide", ""),
    ]
    devices = [
        make_device("eth0", "10.0.2.15/24"),
        make_device("docker0", "172.17.0.1/16"),
        make_device("br-a", "172.18.0.1/16"),
        make_device("br-b", "172.19.0.1/16"),
        make_device("br-c", "172.20.0.1/16"),
        make_device("br-d", "172.21.0.1/16", "fd00:1::1/64"),
        make_device("br-e", "172.22.0.1/16", "fd00:2::1/64"),
    ]
    sources, problems = choose_sources(devices, networks, LISTED, {"172.17.255.254"})
    assert problems == {}
    assert sources == {
        "docker0": {"own": ["172.17.255.253/16"], "gateways": ["172.17.0.1"], "versions": [4]},
        "br-a": {"own": ["172.18.255.254/16"], "gateways": ["172.18.0.1"], "versions": [4]},
        # The one with IPv6.
        "br-d": {
            "own": ["172.21.255.254/16", "fd00:1::ffff:ffff:ffff:fffe/64"],
            "gateways": ["172.21.0.1", "fd00:1::1"],
            "versions": [4, 6],
        },
    }


def test_a_bridge_without_a_free_address_takes_no_other_one_down() -> None:
    networks = [make_network("small", "br-a"), make_network("gone", "br-z")]
    devices = [make_device("docker0", "172.17.0.1/16"), make_device("br-a", "172.18.0.1/30")]
    sources, problems = choose_sources(devices, networks, LISTED, {"172.18.0.2"})
    assert list(sources) == ["docker0"]
    assert problems == {"br-a": "br-a has no free address in 172.18.0.0/30"}
    networks.append(make_network("shop", "br-b"))
    sources, problems = choose_sources(
        [*devices, make_device("br-b", "172.19.0.1/16")], networks, {"networks": [], "projects": []}, {"172.18.0.2"}
    )
    assert (list(sources), problems) == (["docker0", "br-b"], {})


@pytest.mark.parametrize(("devices", "message"), [([], "the engine has no bridge"), ([make_device("docker0")], "docker0 has no address")])
def test_without_a_bridge_nothing_is_tried(devices: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        choose_sources(devices, [], LISTED, set())


def test_the_devices_and_routes_of_a_stand_in() -> None:
    link = Link(("p0", "p1"), (("192.0.2.253", "192.0.2.254", 30), ("2001:db8::1", "2001:db8::2", 126)))
    assert link.list_host_commands(7) == [
        "link add p0 type veth peer name p1 netns 7",
        "address add 192.0.2.253/30 dev p0",
        "address add 2001:db8::1/126 dev p0 nodad",
        "link set p0 up",
    ]
    routes = ["route add 10.0.0.1 via 192.0.2.254", "route add fd00::1 via 2001:db8::2"]
    assert link.list_routes(["10.0.0.1", "fd00::1"]) == routes
    assert Link(("p0", "p1"), link.ends[:1]).list_routes(["10.0.0.1", "fd00::1"]) == routes[:1]
