# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepares the targets of attacks over the network: a machine outside the host, a service of the host, and counters of packets.

The machine is a process in a network namespace. It has the address of the metadata service, if the host does not reach one, and one of a private range.
The devices and routes end with the process, and the process ends with this one.
"""

from __future__ import annotations

import ipaddress
import json
import random
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ..host.egress import TABLE, NftError, read_counters, read_table, run_nft
from ..host.namespaces import NamespaceProcess, ProbeError, run_ip, run_ip_batch, start_process
from ..host.stand_in_host import Link

METADATA = "169.254.169.254"
PORT = 80
# The host's end, and the machine. Documentation addresses (RFC 5737); host/egress_probe.py has others.
_LINK = Link(("bulkhead-n0", "bulkhead-n1"), (("192.0.2.249", "192.0.2.250", 30),))
WATCH = "bulkhead_attack"
# Of each private range, addresses that few networks have.
_PRIVATE = tuple(ipaddress.IPv4Network(text) for text in ("10.255.240.0/20", "172.31.240.0/20", "192.168.248.0/21"))
_TIMEOUT = 2.0
_received: list[str] = []


@dataclass
class Targets:
    """The machine outside the host. private: its address. metadata: how the host reaches that service; empty if the machine has its address."""

    private: str
    metadata: str
    outside: NamespaceProcess

    def list_received(self) -> list[str]:
        """Return the contents of the packets that reached the machine. Raises ProbeError."""
        self.outside.tell({})
        return list(self.outside.ask())


@contextmanager
def prepare_targets() -> Iterator[Targets]:
    """Yield the machine outside the host. Raises OSError."""
    routes = json.loads(run_ip("-j", "-4", "route", "show", "table", "all"))
    private = choose_private_address(routes)
    note = describe_metadata(routes)
    with ExitStack() as stack:
        outside = stack.enter_context(start_process(_run_outside))
        run_ip_batch(_LINK.list_host_commands(outside.pid))
        own = [private, *([] if note else [METADATA])]
        outside.tell({"addresses": own})
        outside.ask()
        run_ip_batch(_LINK.list_routes(own))
        yield Targets(private, note, outside)


def choose_private_address(routes: Iterable[Mapping[str, Any]]) -> str:
    """Return an address of a private range that only the default route reaches. routes: as `ip -j route` shows them. Raises ProbeError."""
    known = [network for route in routes if (network := _parse_network(route.get("dst"))) is not None]
    for candidate in _PRIVATE:
        if not any(candidate.overlaps(network) for network in known):
            return str(candidate[random.randrange(1, candidate.num_addresses - 1)])
    text = f"the host has routes to {', '.join(map(str, _PRIVATE))}, so that no address is left for the attacks"
    raise ProbeError(text)


def _parse_network(text: Any) -> ipaddress.IPv4Network | None:
    """Return a route's destination; None for the default route, also one in two halves, as tunnels have it."""
    with suppress(ValueError):
        network = ipaddress.IPv4Network(str(text), strict=False)
        return network if network.prefixlen > 1 else None
    return None


def describe_metadata(routes: Iterable[Mapping[str, Any]]) -> str:
    """Return how the host already reaches the metadata service; empty if it does not."""
    address = ipaddress.IPv4Address(METADATA)
    for route in routes:
        network = _parse_network(route.get("dst"))
        if network is not None and address in network:
            return f"the host has a route to {METADATA} ({network})"
    with suppress(OSError), socket.create_connection((METADATA, 80), _TIMEOUT):
        return f"{METADATA} answers on this host"
    return ""


def _run_outside(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    """Listen on the addresses of the first order; answer each later one with what was received."""
    if "addresses" not in order:
        answer(_received)
        return
    _LINK.configure_outside(order["addresses"])
    packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packets.bind(("0.0.0.0", PORT))
    threading.Thread(target=accept_all, args=(socket.create_server(("0.0.0.0", PORT)),), daemon=True).start()
    threading.Thread(target=_receive_all, args=(packets,), daemon=True).start()
    answer(True)


def accept_all(listener: socket.socket) -> None:
    """Accept and close connections until the listener is closed."""
    with suppress(OSError):
        while True:
            listener.accept()[0].close()


def _receive_all(packets: socket.socket) -> None:
    while True:
        _received.append(packets.recv(100).decode("ascii", "replace"))


@contextmanager
def open_host_service(addresses: Iterable[str]) -> Iterator[int]:
    """Yield the port of a service of the host on these addresses of its own, and not on others. Raises OSError."""
    with ExitStack() as stack:
        port = 0
        for address in addresses:
            listener = stack.enter_context(socket.create_server((address, port)))
            port = listener.getsockname()[1]
            threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
        yield port


def render_watch(bridge: str, connections: Mapping[str, tuple[str, str, int]]) -> str:
    """Return a table that counts packets before and after Bulkhead's rules, and lets all pass. connections: attack -> address, protocol and port.

    Bulkhead's rules have priority -10 (layers/egress/rules.py). An empty address stands for all.
    """
    lines = [f"add table inet {WATCH}", f"delete table inet {WATCH}", f"table inet {WATCH} {{"]
    lines += [f"\tcounter {name}_{when} {{ }}" for name in connections for when in ("before", "after")]
    for hook in ("forward", "input"):
        for when, priority in (("before", -11), ("after", -9)):
            lines += [f"\tchain {hook}_{when} {{", f"\t\ttype filter hook {hook} priority {priority}; policy accept;"]
            for name, (address, protocol, port) in connections.items():
                place = f"ip daddr {address} " if address else ""
                lines.append(f'\t\tiifname "{bridge}" {place}{protocol} dport {port} counter name "{name}_{when}"')
            lines.append("\t}")
    return "\n".join([*lines, "}", ""])


@contextmanager
def watch_packets(nft: str | None, bridge: str, connections: Mapping[str, tuple[str, str, int]]) -> Iterator[dict[str, tuple[int, int]]]:
    """Yield a mapping. At the end it has attack -> packets before and after Bulkhead's rules. Without nft it stays empty."""
    found: dict[str, tuple[int, int]] = {}
    if nft is None:
        yield found
        return
    run_nft(nft, "-f", "-", text=render_watch(bridge, connections))
    try:
        yield found
        counts = read_counters(read_table(run_nft(nft, "-j", "list", "counters", "table", "inet", WATCH)))
        found.update({name: (counts[f"{name}_before"], counts[f"{name}_after"]) for name in connections})
    finally:
        run_nft(nft, "-f", "-", text=f"add table inet {WATCH}\ndelete table inet {WATCH}\n")


def is_loaded(nft: str | None) -> bool:
    """Return whether the kernel has Bulkhead's table."""
    with suppress(NftError):
        return nft is not None and bool(run_nft(nft, "list", "table", "inet", TABLE))
    return False
