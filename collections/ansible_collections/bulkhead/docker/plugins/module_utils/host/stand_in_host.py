# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets up a stand-in for a machine outside the host: a process in a network namespace, a pair of devices, and addresses to which the host has a route.

Devices and routes end with the process (namespaces.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .namespaces import run_ip_batch


@dataclass(frozen=True)
class Link:
    """devices: of the host and of the process. ends: address of the host, address of the process, and length of the prefix, for each version of IP."""

    devices: tuple[str, str]
    ends: tuple[tuple[str, str, int], ...]

    def list_host_commands(self, pid: int) -> list[str]:
        """Return the commands of ip that add the devices, whose second one goes to the process."""
        here, there = self.devices
        return [
            f"link add {here} type veth peer name {there} netns {pid}",
            *add_addresses(here, (f"{host}/{prefix}" for host, _outside, prefix in self.ends)),
            f"link set {here} up",
        ]

    def list_routes(self, addresses: Iterable[str]) -> list[str]:
        """Return the commands that give the host a route to the addresses, for those versions of IP that the link has."""
        gateways = {_get_version(outside): outside for _host, outside, _prefix in self.ends}
        return [f"route add {each} via {gateways[_get_version(each)]}" for each in addresses if _get_version(each) in gateways]

    def configure_outside(self, addresses: Iterable[str]) -> None:
        """Configure the end of the process, which has these addresses as well. Runs in the process. Raises ProbeError."""
        device = self.devices[1]
        versions = {_get_version(outside) for _host, outside, _prefix in self.ends}
        run_ip_batch(
            [
                "link set lo up",
                *add_addresses(device, (f"{each}/{128 if ':' in each else 32}" for each in addresses if _get_version(each) in versions)),
                *add_addresses(device, (f"{outside}/{prefix}" for _host, outside, prefix in self.ends)),
                f"link set {device} up",
                *(f"route add default via {host}" for host, _outside, _prefix in self.ends),
            ]
        )


def add_addresses(device: str, addresses: Iterable[str]) -> list[str]:
    """Return commands. addresses: with the length of the prefix. An IPv6 one without `nodad` could be used only after a second (man 8 ip-address)."""
    return [f"address add {address} dev {device}{' nodad' if ':' in address else ''}" for address in addresses]


def _get_version(address: str) -> int:
    return 6 if ":" in address else 4
