# SPDX-License-Identifier: GPL-3.0-or-later
"""The attacks over the network, which test layer egress: pure data for hosts, the control node and the documentation."""

from __future__ import annotations

from dataclasses import dataclass

LAYER, FAMILY = "egress", "network"
# The columns: without Bulkhead's rules, with them alone, the host's defaults, everything stacked.
BASELINE, HOST, STACKED = "none", "host", "stacked"
COLUMNS = (BASELINE, LAYER, HOST, STACKED)
TITLE = "egress alone"


@dataclass(frozen=True)
class NetworkAttack:
    """name: as in the report and in `attack_matrix_required`. about: what the attacker does."""

    name: str
    about: str


ATTACKS = (
    NetworkAttack("metadata_service", "connect to the cloud's metadata service"),
    NetworkAttack("host_service", "connect to a service of the host"),
    NetworkAttack("other_network", "connect to a machine in a private network"),
    NetworkAttack("lateral_container", "connect to another container of the same network"),
    NetworkAttack("raw_spoof", "send packets with a neighbour's address to a private network"),
    NetworkAttack("dns_tunnel", "send data in the name of a DNS query"),
)
NAMES = tuple(attack.name for attack in ATTACKS)
