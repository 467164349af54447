# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which owner, group and mode a socket gets each time it is created. A change of the socket itself lasts only until then."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from ...engine.unit import Unit, parse_settings
from ...host.root import Host

CONTAINERD = "/etc/containerd/config.toml"
# Of docker.socket: which part of [uid, gid, mode] each sets, and its default (systemd.socket(5)).
_UNIT_KEYS = {"SocketUser": (0, "root"), "SocketGroup": (1, "root"), "SocketMode": (2, "0666")}


def list_settings(host: Host, socket: str, unit: Unit, group: tuple[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Return path of a socket -> the settings that count: `part` (of uid, gid, mode), `value`, `key` and `source` (its file).

    socket: of the engine. unit: docker.socket. group: `group` of the engine's configuration, and its file; the engine uses it for sockets that it creates.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    if socket in (path.replace("/var/run/", "/run/") for path in unit.listen):
        found[socket] = list(_read_socket_unit(host, unit))
    if group[0]:
        found.setdefault(socket, []).append({"part": 1, "value": group[0], "key": "group", "source": group[1]})
    try:
        containerd = tomllib.loads(host.read(CONTAINERD) or "")
    except (OSError, ValueError):  # containerd does not start with it
        containerd = {}
    grpc, ttrpc = (table if isinstance(table := containerd.get(name), dict) else {} for name in ("grpc", "ttrpc"))
    address = str(grpc.get("address") or "/run/containerd/containerd.sock")
    # The second socket has the first one's settings, unless it has its own (containerd, cmd/containerd/server/config).
    for path, table in (
        (address, grpc),
        (str(ttrpc.get("address") or f"{address}.ttrpc"), ttrpc if ttrpc.get("address") else {**grpc, **ttrpc}),
    ):
        found[path] = [
            {"part": part, "value": str(table[key]), "key": key, "source": CONTAINERD}
            for part, key in enumerate(("uid", "gid"))
            if table.get(key)
        ]
    return found


def _read_socket_unit(host: Host, unit: Unit) -> Iterator[dict[str, Any]]:
    """Yield the settings of docker.socket, of which the last one counts; the defaults are those of its first file."""
    values = {key: (default, next(iter(unit.files))) for key, (unused, default) in _UNIT_KEYS.items()}
    for path in unit.files:
        try:
            settings = {key: value for unused, key, value in parse_settings(host.read(path) or "", [])}
        except OSError:
            continue
        values |= {key: (value or _UNIT_KEYS[key][1], path) for key, value in settings.items() if key in _UNIT_KEYS}
    for key, (value, path) in values.items():
        yield {"part": _UNIT_KEYS[key][0], "value": value, "key": f"{key}=", "source": path}
