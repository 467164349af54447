# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what this host would reject of a container, before the container that it replaces is stopped."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..host.root import Host
from .settings import CONTAINER_MODE, MODES, PORT, list_ulimits

# Returns the engine's answer to a path; None if the engine does not have it.
Ask = Callable[[str], Any]
_PROFILES = "/sys/kernel/security/apparmor/profiles"
# /proc/net: states of sockets that take a port (Linux net/tcp_states.h): TCP_LISTEN, and TCP_CLOSE for UDP.
_TABLES = (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07"))
_ALL = ("0.0.0.0", "::")
Socket = tuple[str, str, int]  # protocol, address, port


def find_obstacles(host: Host, ask: Ask, entries: list[Mapping[str, Any]], starting: set[str]) -> Iterator[str]:
    """Yield one message per obstacle. entries: the whole list. starting: the containers that are created, replaced or started."""
    info = ask("/info") or {}
    options = info.get("SecurityOptions") or []
    rootless, remapped = (any(f"name={kind}" in option for option in options) for kind in ("rootless", "userns"))
    names = {entry["name"] for entry in entries if entry["state"] == "present"}
    loaded = None if rootless else _read_profiles(host)
    taken = _find_sockets(host)
    published = {} if not taken else _find_published(ask("/containers/json") or [])
    for entry in entries:
        if entry["name"] not in starting:
            continue
        place = f"container {entry['name']}:"
        if info.get("NCPU") and float(entry["cpus"]) > info["NCPU"]:
            yield f"{place} cpus is {entry['cpus']} and the engine has {info['NCPU']}; write a lower number"
        files, most = list_ulimits(entry).get("nofile", (0, 0))[1], int((host.read("/proc/sys/fs/nr_open") or "0").strip() or 0)
        if most and files > most:
            yield f"{place} ulimits.nofile is {files} and the kernel allows {most} (fs.nr_open); write a lower number"
        profile = entry["apparmor_profile"]
        if loaded is not None and profile and profile not in loaded:
            yield f"{place} AppArmor profile {profile} is not loaded; run role apparmor_profiles first, or write another apparmor_profile"
        yield from (f"{place} {text}" for text in _check_network(ask, entry["network"], names, remapped and not rootless))
        replaced = {known["name"] for known in entries}
        for text in entry["ports"]:
            yield from (f"{place} {why}" for why in _check_port(text, taken, published, replaced))


def find_missing_sources(host: Host, entries: Iterable[Mapping[str, Any]], starting: set[str]) -> Iterator[str]:
    """Yield a warning per path of the host that a container mounts and that does not exist: the engine makes it a folder of root."""
    for entry in entries:
        for volume in entry["volumes"] if entry["name"] in starting else ():
            source = volume.partition(":")[0]
            if volume.startswith("/") and ":" in volume and not host.path(source).exists():
                yield f"container {entry['name']}: {source} does not exist; the engine makes an empty folder of root there. Create it first"


def _check_network(ask: Ask, network: str, names: set[str], remapped: bool) -> Iterator[str]:
    if network == "host" and remapped:  # moby daemon/daemon_unix.go: verifyPlatformContainerSettings
        yield "network host is rejected by an engine with userns-remap; publish ports, or write another network"
    elif network.startswith(CONTAINER_MODE):
        other = network.removeprefix(CONTAINER_MODE)
        if other not in names and ask(f"/containers/{other}/json") is None:
            yield f"network {network} names a container that does not exist; create it first, or write another network"
    elif network and network not in MODES and ask(f"/networks/{network}") is None:
        yield f"network {network} does not exist; create it first (docker network create {network}), or write another one"


def _check_port(text: str, taken: set[Socket], published: Mapping[str, set[Socket]], replaced: set[str]) -> Iterator[str]:
    """Yield a message if another process or container has the port. replaced: containers of the list, which the run stops or keeps."""
    own = list_published(text)
    address = own[0][1] if len(own) == 1 else ""
    if address and not is_local_address(address):
        yield f"port {text}: this host does not have the address {address}; write one that it has"
        return
    for container, sockets in published.items():
        if any(is_port_conflict(one, other) for one in own for other in sockets):
            if container not in replaced:
                yield f"port {text} is published by container {container}; stop it first, or write another port"
            return
    if any(is_port_conflict(one, other) for one in own for other in taken):
        find = f"ss -lnp 'sport = :{own[0][2]}'"
        yield f"port {text}: another process of the host listens there; stop it first ({find} names it), or write another port"


def is_local_address(address: str) -> bool:
    """Return whether a program can listen on this address. No port is taken: the kernel chooses a free one, which is closed at once."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def list_published(text: str) -> list[Socket]:
    """Return the sockets of the host that an entry of `ports` takes; none for port 0, which is any free port."""
    match = PORT.fullmatch(text)
    if not match or not int(match["host"]):
        return []
    addresses = [match["address"].strip("[]")] if match["address"] else _ALL
    return [(match["protocol"] or "tcp", str(ipaddress.ip_address(address)), int(match["host"])) for address in addresses]


def is_port_conflict(one: Socket, other: Socket) -> bool:
    """Return whether only one of two sockets can exist: the same port of one address, or of every address of its family."""
    same = one[0] == other[0] and one[2] == other[2] and (":" in one[1]) == (":" in other[1])
    return same and (one[1] == other[1] or one[1] in _ALL or other[1] in _ALL)


def _find_published(containers: Iterable[Mapping[str, Any]]) -> dict[str, set[Socket]]:
    """Return the sockets of each running container, by its name."""
    return {
        container["Names"][0].lstrip("/"): {
            (port["Type"], port.get("IP") or "0.0.0.0", port["PublicPort"])
            for port in container.get("Ports") or ()
            if port.get("PublicPort")
        }
        for container in containers
    }


def _find_sockets(host: Host) -> set[Socket]:
    """Return the sockets of the host on which something listens (man 5 proc_pid_net); addresses are in the byte order of the machine."""
    found = set()
    for table, state in _TABLES:
        for line in (host.read(f"/proc/net/{table}") or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == state:
                address, unused, port = fields[1].partition(":")
                words = [int(address[i : i + 8], 16).to_bytes(4, "little") for i in range(0, len(address), 8)]
                found.add((table[:3], str(ipaddress.ip_address(b"".join(words))), int(port, 16)))
    return found


def _read_profiles(host: Host) -> set[str] | None:
    """Return the names of the loaded AppArmor profiles; None on a host without AppArmor, where the engine ignores the setting."""
    text = host.read(_PROFILES)
    return None if text is None else {line.rpartition(" (")[0] for line in text.splitlines()}
