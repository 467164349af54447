# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries what the egress rules deny and allow, from where the packets of containers come: bridges of the engine, or the user of a rootless engine.

Processes of its own listen and connect, in network namespaces that end with them (namespaces.py).
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import selectors
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from .namespaces import NamespaceProcess, ProbeError, run_ip, run_ip_batch, start_process
from .root import Host
from .stand_in_host import Link, add_addresses

# The host's own ends, and those outside. Documentation addresses (RFC 5737, RFC 3849), of which no network is.
HOST_ENDS = ("192.0.2.253", "2001:db8:ffff:ffff::fffd")
OUTSIDE = ("192.0.2.254", "2001:db8:ffff:ffff::fffe")
PORT = 17
USER = ""  # the source of what the user of a rootless engine sends
_PREFIXES = (30, 126)
_DEFAULT_BRIDGE = "docker0"
_DEVICES = "bulkhead-p"  # 0 is the host's and 1 the one outside; each bridge has two more
_TIMEOUT = 3.0
_listeners: list[socket.socket] = []


def run_probe(
    host: Host,
    addresses: Iterable[str],
    networks: Iterable[Mapping[str, Any]],
    listed: Mapping[str, Any],
    taken: Collection[str],
    uid: int | None,
) -> dict[str, Any]:
    """Return `reached`: source -> address -> whether it was reached, and `problems`: source -> why it could not be tried. A source is a bridge, or USER.

    addresses: IPv6 ones are not tried where the host or a bridge has no IPv6. networks, taken: those of the engine, and addresses of containers.
    listed: `networks` and `projects` with rules of their own. uid: the user of a rootless engine. Raises OSError.
    """
    versions = (4, 6) if host.read("/proc/sys/net/ipv6/conf/default/disable_ipv6") == "0\n" else (4,)
    tried = [address for address in addresses if ipaddress.ip_address(address).version in versions]
    link = Link((f"{_DEVICES}0", f"{_DEVICES}1"), tuple(zip(HOST_ENDS, OUTSIDE, _PREFIXES, strict=True))[: len(versions)])
    own = [address for address in tried if address not in (*HOST_ENDS, *OUTSIDE)]
    sources, problems = (
        ({USER: {}}, {}) if uid is not None else choose_sources(json.loads(run_ip("-j", "address")), networks, listed, taken)
    )
    with ExitStack() as stack:
        outside = stack.enter_context(start_process(lambda order, answer: _listen_outside(link, order, answer)))
        connect = _connect_from_bridge if uid is None else _connect_as_user
        processes = {name: stack.enter_context(start_process(connect, apart=uid is None)) for name in sources}
        commands = link.list_host_commands(outside.pid)
        for number, (name, process) in enumerate(processes.items(), 1):
            if uid is None:
                sources[name]["device"] = f"{_DEVICES}{2 * number + 1}"
                commands += _attach(f"{_DEVICES}{2 * number}", sources[name]["device"], process, name)
        stack.callback(_remove_devices, [f"{_DEVICES}{2 * number}" for number in range(len(sources) + 1 if uid is None else 1)])
        run_ip_batch(commands)
        outside.tell({"addresses": own})
        outside.ask()
        run_ip_batch(link.list_routes(own))
        for end, _outside, _prefix in link.ends:
            stack.enter_context(_listen(end))
        for name, process in processes.items():
            chosen = [address for address in tried if uid is not None or ipaddress.ip_address(address).version in sources[name]["versions"]]
            process.tell({**sources[name], "addresses": chosen, "uid": uid})
        return {"reached": {name: process.ask() for name, process in processes.items()}, "problems": problems}


def _attach(device: str, peer: str, process: NamespaceProcess, bridge: str) -> list[str]:
    return [f"link add {device} type veth peer name {peer} netns {process.pid}", f"link set {device} master {bridge} up"]


def _remove_devices(devices: Iterable[str]) -> None:
    """Remove the pairs of devices. They would end with the processes, but the kernel takes a moment for it, and the next run needs the names."""
    with suppress(ProbeError):
        run_ip_batch([f"link delete {device}" for device in devices], "-force")


def choose_sources(
    devices: Iterable[Mapping[str, Any]], networks: Iterable[Mapping[str, Any]], listed: Mapping[str, Any], taken: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return bridge -> addresses to connect from, and bridge -> problem, where no bridge of its kind can be used. devices: as `ip -j address` shows them.

    The bridges are that of the default network, and one each of the other networks with and without rules of their own. Not of internal networks,
    where the engine denies most of it.
    """
    known = {device["ifname"]: device for device in devices}
    groups: list[list[str]] = [[_DEFAULT_BRIDGE] if _DEFAULT_BRIDGE in known else [], [], []]
    for network in networks:
        if network["bridge"] not in ("", _DEFAULT_BRIDGE) and network["bridge"] in known and not network["internal"]:
            is_listed = network["name"] in listed["networks"] or network["project"] in listed["projects"]
            groups[1 if is_listed else 2].append(network["bridge"])
    sources: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    for group in groups:
        failed = {}
        # One with IPv6 shows more.
        for bridge in sorted(group, key=lambda name: -len(_list_networks(known[name]))):
            try:
                sources[bridge] = _choose_source(bridge, known[bridge], taken)
                break
            except ProbeError as error:
                failed[bridge] = str(error)
        else:
            problems |= failed
    if not sources:
        raise ProbeError("; ".join(problems.values()) or "the engine has no bridge")
    return sources, problems


def _list_networks(device: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    """Return version of IP -> address and length of the prefix of a device, without link-local addresses."""
    found: dict[int, tuple[str, int]] = {}
    for info in device.get("addr_info", ()):
        if info.get("scope") == "global":
            found.setdefault(6 if info["family"] == "inet6" else 4, (info["local"], info["prefixlen"]))
    return found


def _choose_source(bridge: str, device: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """Return gateways, and the last addresses of the bridge's networks that no container has, with the length of the prefix. Raises ProbeError."""
    own, gateways = [], []
    networks = _list_networks(device)
    for local, prefix in networks.values():
        network = ipaddress.ip_network(f"{local}/{prefix}", strict=False)
        candidates = (str(network[-offset]) for offset in range(2, min(network.num_addresses, 200)))
        address = next((each for each in candidates if each != local and each not in taken), None)
        if address is None:
            raise ProbeError(f"{bridge} has no free address in {network}")
        own.append(f"{address}/{prefix}")
        gateways.append(local)
    if not own:
        raise ProbeError(f"{bridge} has no address")
    return {"own": own, "gateways": gateways, "versions": list(networks)}


def _listen(address: str) -> socket.socket:
    return socket.create_server((address, PORT), family=socket.AF_INET6 if ":" in address else socket.AF_INET)


def _listen_outside(link: Link, order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    """Listen on the addresses until the process is ended. The kernel answers connections that are not accepted."""
    link.configure_outside(order["addresses"])
    _listeners.extend(_listen("::" if ":" in end else "0.0.0.0") for end, _outside, _prefix in link.ends)
    answer(True)


def _connect_from_bridge(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    device = order["device"]
    run_ip_batch(
        [
            *add_addresses(device, order["own"]),
            f"link set {device} up",
            *(f"route add default via {gateway}" for gateway in order["gateways"]),
        ]
    )
    answer(_connect(order["addresses"]))


def _connect_as_user(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    os.setgroups([])
    os.setgid(order["uid"])
    os.setuid(order["uid"])
    answer(_connect(order["addresses"]))


def _connect(addresses: Iterable[str]) -> dict[str, bool]:
    """Return address -> whether a connection was made. All are tried at once, because a denied one often ends after a second only.

    The kernel's answer to the first packet comes before the socket waits for it. That to the second packet ends the connection.
    """
    found, links, deadline = {}, {}, time.monotonic() + _TIMEOUT
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for address in addresses:
            links[address] = link = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
            link.setblocking(False)
            error = link.connect_ex((address, PORT))
            found[address] = not error
            if error == errno.EINPROGRESS:
                selector.register(link, selectors.EVENT_WRITE, address)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _events in selector.select(left):
                found[key.data] = not links[key.data].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                selector.unregister(key.fileobj)
    return found
