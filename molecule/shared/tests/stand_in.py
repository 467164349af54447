# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for machines outside the host: a network namespace with addresses to which the host has a route, and a service."""

from __future__ import annotations

PUBLIC = "198.51.100.2"
METADATA = "169.254.169.254"
REMOVE_STAND_IN = "systemctl stop egress-outside; ip netns delete outside; ip link delete out0"


def prepare_stand_in(*addresses: str) -> str:
    """Return commands that create it with `PUBLIC` and these addresses, on all of which it answers at port 80."""
    return f"""
set -e
ip netns add outside
ip link add out0 type veth peer name in0 netns outside
ip address add 198.51.100.1/24 dev out0
ip link set out0 up
for address in {" ".join(addresses)}; do ip route add $address via {PUBLIC}; ip netns exec outside ip address add $address/32 dev in0; done
ip netns exec outside ip address add {PUBLIC}/24 dev in0
ip netns exec outside ip link set in0 up
ip netns exec outside ip route add default via 198.51.100.1
systemd-run -q --unit egress-outside ip netns exec outside python3 -m http.server 80
"""
