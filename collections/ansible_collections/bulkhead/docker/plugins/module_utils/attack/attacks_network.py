# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks over the network. They run in a container, and end when a connection is made: nothing is sent over it.

The machines that they look for are stand-ins of the module (network_setup.py), except for the nameserver.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress

from .calls import Blocked, NotPrepared, preparation

_SECONDS = 3.0
_TRIES = 3
_SERVER_FAILURE = 2  # RFC 1035, 4.1.1


def metadata_service() -> str:
    return _connect(preparation["metadata"], 80)


def host_service() -> str:
    return _connect(preparation["gateway"], preparation["host_port"])


def other_network() -> str:
    return _connect(preparation["private"], preparation["port"])


def lateral_container() -> str:
    return _connect(preparation["neighbour"], preparation["port"])


def _connect(address: str, port: int) -> str:
    if not address:
        raise NotPrepared("the target has no address")
    with socket.socket() as link:
        link.settimeout(_SECONDS)
        try:
            link.connect((address, port))
        except TimeoutError as error:
            raise Blocked("connect", errno.ETIMEDOUT) from error
        except OSError as error:
            raise Blocked("connect", error.errno) from error
    return f"{address}, port {port}, accepts a connection"


def raw_spoof() -> str:
    """Send packets with the address of a neighbour. The module asks the target whether one arrived."""
    source, target, port = preparation["forged"], preparation["private"], preparation["port"]
    content = preparation["token"].encode()
    try:
        link = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    except OSError as error:
        raise Blocked("socket", error.errno) from error
    # Without a checksum (RFC 768). The kernel fills in the length, the number and the checksum of the IP header (man 7 raw).
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0, socket.inet_aton(source), socket.inet_aton(target))
    packet = header + struct.pack("!HHHH", 5353, port, 8 + len(content), 0) + content
    with link:
        for unused in range(_TRIES):
            try:
                link.sendto(packet, (target, 0))
            except OSError as error:
                raise Blocked("sendto", error.errno) from error
    return f"packets from {source} reach {target}"


def dns_tunnel() -> str:
    """Ask the nameserver for a name that begins with data. The name is below `invalid`, which has no owner (RFC 6761)."""
    with open("/etc/resolv.conf") as handle:
        servers = [line.split()[1] for line in handle if line.startswith("nameserver ") and ":" not in line]
    if not servers:
        raise NotPrepared("the container has no nameserver with an IPv4 address")
    failure: int | None = None
    for server in servers:
        try:
            return send_query(server, 53, os.urandom(16).hex())
        except OSError as error:
            failure = error.errno
    raise Blocked("query", failure or errno.ETIMEDOUT)


def send_query(server: str, port: int, data: str) -> str:
    """Return what the nameserver answered to a name with data. Raises OSError."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in (data, "bulkhead-attack", "invalid"))
    query = os.urandom(2) + struct.pack("!HHHHH", 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)
    for unused in range(_TRIES):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link, suppress(TimeoutError):
            link.settimeout(_SECONDS)
            link.connect((server, port))
            link.send(query)
            answer = link.recv(4096)
            # The engine's own nameserver answers with a failure if it reaches no other one.
            if answer[:2] == query[:2] and len(answer) > 3 and answer[3] & 15 != _SERVER_FAILURE:
                return f"{server} answered a query with {len(data)} characters of data"
    raise TimeoutError(errno.ETIMEDOUT, "no answer")
