# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks `ports`, of one container and of all together. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...module_utils.hardened.obstacles import Socket, is_port_conflict, list_published
from ...module_utils.hardened.settings import CONTAINER_MODE, PORT
from .values import SettingProblem, Written, format_value, takes

_LAST_PORT = 65535


@takes(list)
def check_ports(value: Any, written: Written) -> Iterator[SettingProblem]:
    for port in value:
        why = _explain_port(port, written)
        if why:
            yield SettingProblem("", value, f"contains {format_value(port)}, {why}")


def check_network_of_ports(ports: list[str], network: str) -> Iterator[SettingProblem]:
    """Yield a problem if the container has no network in which the engine could publish ports."""
    if ports and (network in ("host", "none") or network.startswith(CONTAINER_MODE)):
        yield SettingProblem("", ports, f"are not published with network {network}; remove them, or write another network")


def find_conflicts(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, SettingProblem]]:
    """Yield container and problem per port that two containers publish, or one container twice: only the first would start."""
    taken: list[tuple[Socket, str, str]] = []
    for entry in entries:
        for text in entry["ports"]:
            for own in list_published(text):
                other = next(((name, given) for known, name, given in taken if is_port_conflict(known, own)), None)
                if other:
                    place = (
                        f"container {other[0]} publishes with {other[1]!r}" if other[0] != entry["name"] else f"{other[1]!r} publishes too"
                    )
                    yield (
                        entry["name"],
                        SettingProblem("", entry["ports"], f"contains {text!r}, which {place}; write another port or address"),
                    )
                    break
            taken += [(own, entry["name"], text) for own in list_published(text)]


def _explain_port(port: Any, written: Written) -> str:
    if not isinstance(port, str):
        source = written(port) if isinstance(port, int | float) and not isinstance(port, bool) else ""
        read = f" (what YAML reads for {source})" if source and source != str(port) else ""
        return f"which is not a text{read}; write HOST:CONTAINER in quotes, such as '127.0.0.1:8080:80'"
    match = PORT.fullmatch(port)
    if not match:
        return "which is not a port; write HOST:CONTAINER, such as '127.0.0.1:8080:80'"
    if match["address"]:
        try:
            address = ipaddress.ip_address(match["address"].strip("[]"))
        except ValueError:
            return f"whose address {match['address']} does not exist; write an IP address of the host, such as 127.0.0.1"
        if (address.version == 6) != match["address"].startswith("["):
            return "whose address is not valid; write IPv6 addresses in brackets, and others without"
    if int(match["host"]) > _LAST_PORT or not 1 <= int(match["container"]) <= _LAST_PORT:
        return f"whose port is not from 1 to {_LAST_PORT}; write HOST:CONTAINER, such as '127.0.0.1:8080:80'"
    return ""
