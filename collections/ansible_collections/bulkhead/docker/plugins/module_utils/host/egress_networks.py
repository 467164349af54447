# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the networks of an engine, the bridges of the host, and the present connections of containers. Reads only."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..engine.api import Engine, EngineError
from .root import Host

CONNECTIONS = "/proc/net/nf_conntrack"
_NET = "/sys/class/net"
_NAMED = "com.docker.network.bridge.name"
_PROJECT = "com.docker.compose.project"
_DEFAULT_BRIDGE = "com.docker.network.bridge.default_bridge"
_FIELD = re.compile(r"(\w+)=(\S+)")
_PROTOCOLS = ("tcp", "udp", "sctp", "icmp", "icmpv6", "dccp", "udplite")
_LIMIT = 64 << 20  # bytes of the list of connections
_MAX_CONNECTIONS = 500


def observe_networks(host: Host, engine: Engine) -> dict[str, Any]:
    """Return networks, containers with their addresses, published ports, bridges and connections; `error` says why the engine gives none."""
    found: dict[str, Any] = {"networks": [], "containers": [], "ports": [], "error": ""}
    try:
        found["networks"] = [_describe_network(entry) for entry in engine.get("/networks")]
        listed = engine.get("/containers/json")
        found["containers"] = [_describe_container(entry) for entry in listed]
        found["ports"] = sorted(
            {f"{port['Type']}/{port['PublicPort']}" for entry in listed for port in entry.get("Ports") or () if port.get("PublicPort")}
        )
    except (EngineError, OSError, LookupError, TypeError, AttributeError) as error:
        found["error"] = str(error)
    found["bridges"] = list_bridges(host)
    owners = {address: each["name"] for each in found["containers"] for address in each["addresses"]}
    try:
        found |= {"connections": read_connections(host, owners), "connections_error": ""}
    except OSError as error:
        found |= {"connections": [], "connections_error": str(error)}
    return found


def _describe_network(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network. bridge: of driver `bridge` (moby libnetwork/drivers/bridge: `br-` and 12 digits of the ID, if no name is chosen)."""
    options, labels = entry.get("Options") or {}, entry.get("Labels") or {}
    bridge = ""
    if entry["Driver"] == "bridge":
        bridge = options.get(_NAMED) or ("docker0" if options.get(_DEFAULT_BRIDGE) == "true" else f"br-{entry['Id'][:12]}")
    return {
        "name": entry["Name"],
        "driver": entry["Driver"],
        "bridge": bridge,
        "project": labels.get(_PROJECT, ""),
        "internal": bool(entry.get("Internal")),
    }


def _describe_container(entry: Mapping[str, Any]) -> dict[str, Any]:
    joined = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = [each.get(key) for each in joined.values() for key in ("IPAddress", "GlobalIPv6Address")]
    return {
        "id": entry["Id"],
        "name": str((entry.get("Names") or [entry["Id"][:12]])[0]).lstrip("/"),
        "networks": sorted(joined),
        "addresses": [format_address(address) for address in addresses if address],
    }


def list_bridges(host: Host) -> dict[str, list[str]]:
    """Return each bridge of the host and its ports that are devices of the machine (sysfs: a virtual interface has no `device`)."""
    found = {}
    folder = host.path(_NET)
    for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
        if (folder / name / "bridge").is_dir():
            ports = folder / name / "brif"
            found[name] = [port for port in sorted(os.listdir(ports)) if (folder / port / "device").exists()] if ports.is_dir() else []
    return found


def read_connections(host: Host, owners: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the connections that containers began, as the kernel tracks them. owners: address -> name of its container. Raises OSError."""
    text = host.read(CONNECTIONS, _LIMIT)
    if text is None:
        raise FileNotFoundError(2, "does not exist", CONNECTIONS)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for each in _parse_connections(text.splitlines()):
        if each["source"] in owners:
            each["container"] = owners[each["source"]]
            found.setdefault(tuple(each.values()), each)
    return list(found.values())[:_MAX_CONNECTIONS]


def _parse_connections(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield source, asked (the destination before it was translated), destination, protocol and port of each line of CONNECTIONS."""
    for line in lines:
        words = line.split()
        pairs = _FIELD.findall(line)
        values: dict[str, list[str]] = {}
        for key, value in pairs:
            values.setdefault(key, []).append(value)
        protocol = next((word for word in words[:4] if word in _PROTOCOLS), "")
        # The first tuple is that of the first packet, the second one that of the answers: it comes from where the first packet was sent.
        if len(values.get("src", ())) < 2 or not protocol or "dst" not in values:
            continue
        if protocol == "tcp" and not {"ESTABLISHED", "SYN_SENT", "SYN_RECV"} & set(words):
            continue
        ports = values.get("sport", [])
        yield {
            "source": format_address(values["src"][0]),
            "asked": format_address(values["dst"][0]),
            "destination": format_address(values["src"][1]),
            "protocol": protocol,
            "port": int(ports[1]) if len(ports) > 1 else 0,
        }


def format_address(text: str) -> str:
    """Return an address in its short form; the text itself if it is none. The kernel's list has all digits of IPv6 addresses."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def list_own_addresses(host: Host) -> list[str]:
    """Return the addresses of the host itself: the local routes of IPv4 and IPv6 (man 5 proc_net: fib_trie, if_inet6)."""
    found, last = set(), ""
    for line in (host.read("/proc/net/fib_trie") or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("|--", "+--"):
            last = words[1].partition("/")[0]
        elif words[:1] == ["/32"] and "LOCAL" in words:
            found.add(last)
    for line in (host.read("/proc/net/if_inet6") or "").splitlines():
        digits = line.partition(" ")[0]
        found.add(format_address(":".join(digits[at : at + 4] for at in range(0, 32, 4))))
    return sorted(found)
