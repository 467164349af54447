# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import egress, egress_loading
from ansible_collections.bulkhead.docker.plugins.module_utils.host.egress_networks import (
    list_bridges,
    list_own_addresses,
    observe_networks,
    read_connections,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files

LISTING = [
    {"metainfo": {"version": "1.1.3"}},
    {"table": {"family": "inet", "name": "bulkhead_egress", "handle": 4}},
    {"counter": {"name": "denied_host", "handle": 5, "packets": 7, "bytes": 420}},
    {"set": {"name": "log_rate4", "handle": 6, "flags": ["timeout", "dynamic"], "timeout": 60, "elem": ["172.17.0.2"]}},
    {"set": {"name": "metadata4", "handle": 7, "flags": ["interval"], "elem": ["b", "a"]}},
    {"rule": {"chain": "c", "handle": 8, "expr": [{"match": {"right": {"set": [443, {"range": [1, 2]}]}}}]}},
]
_V4 = "ipv4     2"
_SIX, _FAR = "fd00:0000:0000:0000:0000:0000:0000:0002", "2001:0db8:0000:0000:0000:0000:0000:0001"
CONNECTIONS = "".join(
    f"{line} mark=0 use=2\n"
    for line in (
        f"{_V4} tcp 6 431999 ESTABLISHED src=172.17.0.2 dst=192.0.2.1 sport=5 dport=80 src=10.0.0.9 dst=10.0.2.15 sport=8080 dport=5 [ASSURED]",
        f"{_V4} tcp 6 115 TIME_WAIT src=172.17.0.2 dst=192.0.2.1 sport=6 dport=80 src=192.0.2.1 dst=10.0.2.15 sport=80 dport=6 [ASSURED]",
        f"{_V4} udp 17 9 src=10.0.2.2 dst=10.0.2.15 sport=7 dport=53 src=10.0.2.15 dst=10.0.2.2 sport=53 dport=7",
        f"ipv6     10 udp 17 9 src={_SIX} dst={_FAR} sport=7 dport=53 src={_FAR} dst={_SIX} sport=53 dport=7",
    )
)


def write(root: Path, **files: str) -> Host:
    return write_files(root, {name.replace("__", "/"): text for name, text in files.items()})


def test_two_loads_of_one_file_are_equal() -> None:
    other = json.loads(json.dumps(LISTING).replace('["b", "a"]', '["a", "b"]').replace('"handle": 8', '"handle": 9'))
    other[2]["counter"]["packets"] = 0
    other[3]["set"].pop("elem")
    listings = [egress.normalise_table(egress.read_table(json.dumps({"nftables": each}))) for each in (LISTING, other)]
    assert listings[0] == listings[1]
    assert egress.read_counters(egress.read_table(json.dumps({"nftables": LISTING}))) == {"denied_host": 7}
    with pytest.raises(ValueError, match="not understood"):
        egress.read_table("[]")


@pytest.mark.parametrize("flags", [["dynamic"], None])
def test_what_containers_used_is_read_and_not_compared(flags: list[str] | None) -> None:
    """nft 1.0.6 does not show the flag in JSON, and 1.1.7 shows the number of elements."""
    shown = {"flags": flags} if flags else {}
    sets: list[dict[str, Any]] = [
        {"set": {"name": "used4", **shown, "count": 1, "elem": [{"concat": ["docker0", "192.0.2.1", "tcp", 80]}]}},
        {"set": {"name": "used6", **shown, "elem": [{"concat": ["2001:db8::1", "udp", 53]}]}},
        {"set": {"name": "log_rate6", **shown, "timeout": 60, "elem": [{"elem": {"val": "2001:db8::1", "timeout": 60, "expires": 46}}]}},
        {"set": {"name": "used7", **shown}},
    ]
    assert egress.read_used(sets) == [
        {"bridge": "docker0", "destination": "192.0.2.1", "protocol": "tcp", "port": 80},
        {"bridge": "", "destination": "2001:db8::1", "protocol": "udp", "port": 53},
    ]
    assert not any({"elem", "count"} & {*each["set"]} for each in egress.normalise_table(sets))


def test_what_passes_the_hooks_is_listed() -> None:
    listing: list[dict[str, Any]] = [
        {"flowtable": {"family": "inet", "table": "fast", "name": "f", "dev": ["eth0", "docker0"]}},
        {"rule": {"family": "netdev", "table": "d", "chain": "in", "expr": [{"fwd": {"dev": "eth1"}}]}},
        {"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "expr": [{"accept": None}]}},
        {"flowtable": {"family": "inet", "table": "bulkhead_egress", "name": "x", "dev": "eth0"}},
    ]
    assert egress.list_others(listing) == [
        {"kind": "flowtable", "place": "inet fast f", "devices": ["eth0", "docker0"]},
        {"kind": "fwd", "place": "netdev d in", "devices": []},
    ]


def test_connections_are_read_with_their_real_destination(tmp_path: Path) -> None:
    host = write(tmp_path, proc__net__nf_conntrack=CONNECTIONS)
    assert read_connections(host, {"172.17.0.2": "web", "fd00::2": "six"}) == [
        {"source": "172.17.0.2", "asked": "192.0.2.1", "destination": "10.0.0.9", "protocol": "tcp", "port": 8080, "container": "web"},
        {"source": "fd00::2", "asked": "2001:db8::1", "destination": "2001:db8::1", "protocol": "udp", "port": 53, "container": "six"},
    ]
    with pytest.raises(FileNotFoundError, match="nf_conntrack"):
        read_connections(Host(tmp_path / "none"), {})


def test_bridges_and_their_ports_of_the_machine(tmp_path: Path) -> None:
    net = tmp_path / "sys/class/net"
    for path in ("docker0/bridge", "docker0/brif/veth1", "docker0/brif/eth1", "eth1/device", "veth1", "lo"):
        (net / path).mkdir(parents=True)
    assert list_bridges(Host(tmp_path)) == {"docker0": ["eth1"]}
    assert list_bridges(Host(tmp_path / "none")) == {}


def test_own_addresses(tmp_path: Path) -> None:
    trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.2.15\n        /32 host LOCAL\n     |-- 10.0.2.0\n        /24 link UNICAST\n"
    six = "fe800000000000000000000000000001 02 40 20 80 eth0\n"
    host = write(tmp_path, proc__net__fib_trie=trie, proc__net__if_inet6=six)
    assert list_own_addresses(host) == ["10.0.2.15", "fe80::1"]


def test_nameservers_are_those_that_containers_get(tmp_path: Path) -> None:
    stub, real = "search x\nnameserver 127.0.0.53\n", "nameserver 10.0.0.2\nnameserver fe80::1%eth0\n"
    host = write_files(tmp_path, {"etc/resolv.conf": stub, "run/systemd/resolve/resolv.conf": real})
    assert egress.read_nameservers(host) == ["10.0.0.2", "fe80::1"]
    (tmp_path / "etc/resolv.conf").write_text("nameserver 192.0.2.53\nnameserver 127.0.0.1\n")
    assert egress.read_nameservers(host) == ["192.0.2.53"]


def test_a_name_that_is_not_known_has_an_error() -> None:
    found = egress.resolve_names(["localhost", "missing.invalid"])
    assert "127.0.0.1" in found["localhost"]["addresses"]
    assert found["missing.invalid"]["addresses"] == [] and found["missing.invalid"]["error"]


class _Engine:
    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def get(self, path: str) -> Any:
        return self.answers[path]


def test_networks_and_containers_of_the_engine(tmp_path: Path) -> None:
    host = write(tmp_path, proc__net__nf_conntrack=CONNECTIONS)
    default = {"Name": "bridge", "Id": "0" * 64, "Driver": "bridge", "Options": {"com.docker.network.bridge.default_bridge": "true"}}
    shop = {"Name": "shop", "Id": "1" * 64, "Driver": "bridge", "Options": None, "Labels": {"com.docker.compose.project": "store"}}
    named = {"Name": "named", "Id": "2" * 64, "Driver": "bridge", "Options": {"com.docker.network.bridge.name": "shop0"}}
    joined = {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}
    container = {
        "Id": "c" * 64, "Names": ["/web"], "Ports": [{"Type": "tcp", "PublicPort": 8080, "PrivatePort": 80}, {"Type": "tcp", "PrivatePort": 81}],
        "NetworkSettings": {"Networks": joined},
    }  # fmt: skip
    found = observe_networks(host, _Engine({"/networks": [default, shop, named], "/containers/json": [container]}))  # type: ignore[arg-type]
    assert [(each["bridge"], each["project"]) for each in found["networks"]] == [
        ("docker0", ""),
        ("br-111111111111", "store"),
        ("shop0", ""),
    ]
    assert found["containers"] == [{"id": "c" * 64, "name": "web", "networks": ["bridge"], "addresses": ["172.17.0.2"]}]
    assert (found["ports"], found["error"], len(found["connections"])) == (["tcp/8080"], "", 1)
    found = observe_networks(host, _Engine({}))  # type: ignore[arg-type]
    assert (found["networks"], found["connections"]) == ([], []) and found["error"]


TEXTS = ("rules\n", "unit\n", "drop-in\n")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Return the commands that are run instead of nft and systemctl; a command with a word of `failing` fails."""
    made: list[tuple[str, ...]] = []

    def run_nft(_nft: str, *arguments: str, text: str | None = None) -> str:
        made.append(("nft", *arguments, (text or "").partition("\n")[0]))
        return ""

    def run_systemctl(*arguments: str) -> None:
        made.append(("systemctl", *arguments))
        if arguments[0] == "restart" and ("failing",) in made:
            raise OSError("the kernel does not accept the rules")

    monkeypatch.setattr(egress_loading, "run_nft", run_nft)
    monkeypatch.setattr(egress_loading, "run_systemctl", run_systemctl)
    monkeypatch.setattr(egress_loading, "find_nft", lambda _host: "/usr/sbin/nft")
    monkeypatch.setattr("os.fchown", lambda *_: None)
    return made


def test_rules_are_checked_then_written_then_loaded(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    host = Host(tmp_path)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    assert egress_loading.apply_rules(host, TEXTS, True).changed
    assert calls == [("nft", "-c", "-f", "-", "rules")] and not (tmp_path / "var").exists()
    loading = egress_loading.apply_rules(host, TEXTS, False)
    assert (loading.changed, host.read(egress.RULES), host.read(egress.UNIT)) == (True, "rules\n", "unit\n")
    assert [call[1] for call in calls if call[0] == "systemctl"] == ["daemon-reload", "reenable", "restart"]


def test_a_failed_load_restores_the_files(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    host = Host(tmp_path)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    egress_loading.apply_rules(host, TEXTS, False)
    calls.append(("failing",))
    with pytest.raises(OSError, match="does not accept"):
        egress_loading.apply_rules(host, ("other\n",) * 3, False)
    assert (host.read(egress.RULES), host.read(egress.UNIT)) == ("rules\n", "unit\n")


def test_what_containers_used_survives_a_change(tmp_path: Path, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    elements = [{"concat": ["docker0", "192.0.2.1", "tcp", 80]}, {"concat": ["192.0.2.2", "tcp", 80]}]
    listing = json.dumps({"nftables": [{"set": {"name": "used4", "flags": ["dynamic"], "elem": elements}}]})
    record = egress_loading.run_nft

    def run_nft(nft: str, *arguments: str, text: str | None = None) -> str:
        record(nft, *arguments, text=text)
        return listing if "list" in arguments else ""

    monkeypatch.setattr(egress_loading, "run_nft", run_nft)
    rules = "set used4 { type ifname . ipv4_addr . inet_proto . inet_service; }\n"
    egress_loading.apply_rules(Host(tmp_path), (rules, *TEXTS[1:]), False)
    assert calls[-1] == ("nft", "-f", "-", 'add element inet bulkhead_egress used4 { "docker0" . 192.0.2.1 . tcp . 80 }')
    calls.clear()
    egress_loading.apply_rules(Host(tmp_path), TEXTS, False)
    assert calls[-1][0] == "systemctl"


def test_removal_leaves_nothing(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    host = Host(tmp_path)
    wants = tmp_path / "etc/systemd/system/docker.service.wants"
    wants.mkdir(parents=True)
    egress_loading.apply_rules(host, TEXTS, False)
    (wants / egress.UNIT_NAME).symlink_to(egress.UNIT)
    egress_loading.apply_rules(host, ("", "", ""), False)
    assert not any(path.is_symlink() or "egress" in path.name for path in tmp_path.rglob("*"))
    assert ("nft", "-f", "-", "add table inet bulkhead_egress") in calls
