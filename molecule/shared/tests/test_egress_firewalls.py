# SPDX-License-Identifier: GPL-3.0-or-later
"""Egress rules on hosts with firewalld, with ufw, and with an engine that has `iptables: false`. Installs packages from Debian's archive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import wait_for_engine
from egress_layer import PREPARE, REQUIRED, EgressLayer, layer, list_reached, loaded, read_table
from reboot import reboot
from stand_in import METADATA, PUBLIC
from testinfra.host import Host

__all__ = ["layer", "loaded"]  # fixtures

INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=900 install -qq -y --no-install-recommends %s >/dev/null"
# What `firewall-cmd --reload` calls. That waits for 60 s only, which a busy emulated machine may exceed.
RELOAD_FIREWALLD = (
    "busctl --timeout=600 call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1 reload"
)
# The engine adds its bridge to firewalld's zone `docker` when the engine starts, and again after each start and reload of firewalld that follows.
RESTART_ENGINE = "systemctl restart docker && docker start egress-plain"
# A rule that accepts, before all others.
EARLY = f"""nft 'table inet early {{ chain early {{ type filter hook forward priority -300; ip daddr {METADATA} accept; }}; }}'"""
# The unmanaged rules, without counts.
OTHERS = "nft list tables | grep -v bulkhead_egress | while read -r _ family name; do nft -s list table $family $name; done"
DISABLE = "systemctl disable --now firewalld; ufw disable; nft delete table inet early"
# Packets that a container sends all the time, and those of them that arrive at the stand-in.
SEND = f"while sleep 0.05; do echo > /dev/udp/{METADATA}/9; done"
START_SENDER = "systemd-run -q --unit egress-sender nsenter -t $(docker inspect -f '{{.State.Pid}}' egress-plain) -n bash -c %s"
PREPARE_COUNT = f"""
ip netns exec outside nft 'table ip seen {{
  counter metadata {{ }}
  chain input {{ type filter hook input priority 0; ip daddr {METADATA} udp dport 9 counter name metadata; }}
}}'
"""
DENIED = "nft list counter inet bulkhead_egress denied_metadata"
ARRIVED = "ip netns exec outside nft list counter ip seen metadata"
PACKETS = 5


@pytest.fixture(scope="module")
def archive(host: Host) -> None:
    host.check_output("apt-get update -qq")


@pytest.fixture
def watched(host: Host, archive: None, loaded: list[list[str]]) -> Iterator[list[list[str]]]:
    """Count what arrives at the metadata service, and end the firewalls after the test. Returns the kernel's table."""
    host.check_output(PREPARE_COUNT)
    try:
        yield loaded
    finally:
        host.run(f"{DISABLE}; systemctl restart docker")


def count_packets(host: Host, command: str) -> int:
    words = host.check_output(command).split()
    return int(words[words.index("packets") + 1])


def assert_denied_during(host: Host, moment: str) -> None:
    """Run a command while the container sends: the rules deny all packets."""
    before = count_packets(host, DENIED)
    host.check_output(START_SENDER, SEND)
    try:
        host.check_output(moment)
    finally:
        host.run("systemctl stop egress-sender")
    assert count_packets(host, ARRIVED) == 0, moment
    assert count_packets(host, DENIED) - before >= PACKETS, moment


def assert_rules_hold(host: Host, table: list[list[str]], moment: str) -> None:
    """The kernel has this table, and a container reaches what is allowed and nothing else. firewalld accepts it a moment after its start."""
    assert read_table(host) == table, moment
    deadline = time.monotonic() + 60
    while (reached := list_reached(host)) != [PUBLIC] and time.monotonic() < deadline:
        assert METADATA not in reached, moment
    assert reached == [PUBLIC], moment


def assert_left_alone(host: Host, layer: EgressLayer, table: list[list[str]]) -> None:
    """Load the rules again next to a firewall and a rule that accepts first: unmanaged rules are kept, and verification finds the managed ones enforced."""
    host.check_output(EARLY)
    others = read_others(host)
    assert "chain early" in others and "chain FORWARD" in others
    host.check_output("nft delete table inet bulkhead_egress")
    assert list_reached(host) == [METADATA, PUBLIC], "nothing else denies it"
    assert judge(layer) == ([], "enforced", []), layer.output
    assert host.check_output(OTHERS) == others
    assert_rules_hold(host, table, "the rules were loaded again")


def read_others(host: Host) -> str:
    """Return the rules of others once they stay the same: the engine adds its own a moment after a start of firewalld."""
    deadline, before = time.monotonic() + 120, ""
    while (others := host.check_output(OTHERS)) != before and time.monotonic() < deadline:
        before = others
        time.sleep(10)
    return others


def judge(layer: EgressLayer) -> tuple[Any, str, list[str]]:
    """Apply the layer. Return what the next plan would change, the verdict, and the findings."""
    found = layer.apply(REQUIRED)
    assert found, layer.output
    verified = found["verified"][0]
    return found["changes"], verified["status"], [each["id"] for each in verified["findings"]]


def test_firewalld_and_the_rules_leave_each_other_alone(host: Host, layer: EgressLayer, watched: list[list[str]]) -> None:
    assert_denied_during(host, f"{INSTALL % 'firewalld'} && systemctl start firewalld")
    host.check_output("systemctl is-active firewalld && nft list table inet firewalld")
    assert read_table(host) == watched
    # Started after the engine, it takes the bridge for one of the zone `public`. The probe then shows nothing about Bulkhead's rules.
    assert METADATA not in list_reached(host)
    assert judge(layer) == ([], "enforced", ["egress.probe_blocked"]), layer.output
    host.check_output(RESTART_ENGINE)
    for moment in (RELOAD_FIREWALLD, "systemctl restart firewalld", "systemctl stop firewalld", "systemctl start firewalld"):
        assert_denied_during(host, moment)
        assert_rules_hold(host, watched, moment)
    assert_left_alone(host, layer, watched)


def test_ufw_and_the_rules_leave_each_other_alone(host: Host, layer: EgressLayer, watched: list[list[str]]) -> None:
    enable = f"ufw allow 22/tcp && ufw route allow to {METADATA} && ufw --force enable"
    for moment in (f"{INSTALL % 'ufw'} && {enable}", "ufw reload", "ufw disable", "ufw --force enable"):
        assert_denied_during(host, moment)
        assert_rules_hold(host, watched, moment)
    assert METADATA in host.check_output("ufw status") and "ufw-" in host.check_output("iptables -S FORWARD")
    assert_left_alone(host, layer, watched)


def test_an_engine_without_iptables_is_limited_too(host: Host, layer: EgressLayer, loaded: list[list[str]]) -> None:
    """The machine boots, because the engine would leave its rules of before."""
    assert not host.file("/etc/docker/daemon.json").exists
    try:
        host.check_output("""mkdir -p /etc/docker && echo '{"iptables": false}' > /etc/docker/daemon.json && docker rm -f egress-plain""")
        reboot(host, "docker version >/dev/null")
        host.check_output(PREPARE)
        assert "DOCKER" not in host.check_output("nft list ruleset")
        assert_rules_hold(host, loaded, "the machine has booted")
        assert judge(layer) == ([], "enforced", []), layer.output
    finally:
        host.run("rm /etc/docker/daemon.json && systemctl restart docker")
        wait_for_engine(host)
