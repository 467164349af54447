# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries what the egress rules deny and allow, from where the packets of containers come: a bridge of the engine, or the user of a rootless engine.

Processes of its own listen and connect, in network namespaces that end with them (host/namespaces.py).
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from typing import Any

from .namespaces import ProbeError, run_ip, start_process

# The host's own end, and the one outside. Documentation addresses (RFC 5737), of which no network is.
HOST_END, OUTSIDE = "192.0.2.253", "192.0.2.254"
PORT = 17
_NETWORK = 30
_BRIDGE = "docker0"
_DEVICES = ("bulkhead-p0", "bulkhead-p1", "bulkhead-p2", "bulkhead-p3")  # host and outside, bridge and source
_TIMEOUT = 3.0


def run_probe(addresses: Iterable[str], taken: Collection[str], uid: int | None) -> dict[str, bool]:
    """Return address -> whether it was reached. taken: addresses of containers. uid: the user of a rootless engine. Raises OSError."""
    tried = list(addresses)
    with ExitStack() as stack:
        outside = stack.enter_context(start_process(_listen_outside))
        run_ip("link", "add", _DEVICES[0], "type", "veth", "peer", "name", _DEVICES[1], "netns", str(outside.pid))
        run_ip("address", "add", f"{HOST_END}/{_NETWORK}", "dev", _DEVICES[0])
        run_ip("link", "set", _DEVICES[0], "up")
        outside.tell({"addresses": [address for address in tried if address != HOST_END]})
        outside.ask()
        for address in tried:
            if address not in (HOST_END, OUTSIDE):
                run_ip("route", "add", address, "via", OUTSIDE)
        listener = stack.enter_context(socket.create_server((HOST_END, PORT)))
        listener.settimeout(_TIMEOUT)
        connect = _connect_from_bridge if uid is None else _connect_as_user
        source = stack.enter_context(start_process(connect, apart=uid is None))
        order: dict[str, Any] = {"addresses": tried, "uid": uid}
        if uid is None:
            order |= _choose_source(taken)
            run_ip("link", "add", _DEVICES[2], "type", "veth", "peer", "name", _DEVICES[3], "netns", str(source.pid))
            run_ip("link", "set", _DEVICES[2], "master", _BRIDGE, "up")
        source.tell(order)
        return dict(source.ask())


def _choose_source(taken: Collection[str]) -> dict[str, Any]:
    """Return gateway, and the last address of the bridge's network that no container has, with the length of its prefix. Raises ProbeError."""
    found = json.loads(run_ip("-j", "-4", "address", "show", "dev", _BRIDGE))
    info = next((each for entry in found for each in entry.get("addr_info", ()) if each.get("scope") == "global"), None)
    if info is None:
        raise ProbeError(f"{_BRIDGE} has no address")
    network = ipaddress.ip_network(f"{info['local']}/{info['prefixlen']}", strict=False)
    for offset in range(2, min(network.num_addresses, 200)):
        address = str(network[-offset])
        if address != info["local"] and address not in taken:
            return {"gateway": info["local"], "own": f"{address}/{info['prefixlen']}"}
    raise ProbeError(f"{_BRIDGE} has no free address")


def _listen_outside(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    """Listen on the addresses until the process is ended."""
    run_ip("link", "set", "lo", "up")
    for address in order["addresses"]:
        run_ip("address", "add", f"{address}/{_NETWORK if address == OUTSIDE else 32}", "dev", _DEVICES[1])
    if OUTSIDE not in order["addresses"]:
        run_ip("address", "add", f"{OUTSIDE}/{_NETWORK}", "dev", _DEVICES[1])
    run_ip("link", "set", _DEVICES[1], "up")
    run_ip("route", "add", "default", "via", HOST_END)
    listener = socket.create_server(("0.0.0.0", PORT))
    answer(True)
    while True:
        listener.accept()[0].close()


def _connect_from_bridge(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    run_ip("link", "set", "lo", "up")
    run_ip("address", "add", order["own"], "dev", _DEVICES[3])
    run_ip("link", "set", _DEVICES[3], "up")
    run_ip("route", "add", "default", "via", order["gateway"])
    answer(_connect(order["addresses"]))


def _connect_as_user(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    os.setgroups([])
    os.setgid(order["uid"])
    os.setuid(order["uid"])
    answer(_connect(order["addresses"]))


def _connect(addresses: Iterable[str]) -> dict[str, bool]:
    found = {}
    for address in addresses:
        with socket.socket() as link:
            link.settimeout(_TIMEOUT)
            found[address] = not link.connect_ex((address, PORT))
    return found
