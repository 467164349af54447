# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a client of an engine whose configuration is not read otherwise."""

from __future__ import annotations

from ..host.root import Host
from .api import Engine
from .instance import Instance
from .processes import find_process, find_socket, list_dockerds


def open_engine(host: Host, instance: Instance, timeout: float = 60, socket: str | None = None) -> Engine:
    """Return a client of an engine: at `socket`, otherwise where its process listens, otherwise at its usual socket."""
    engine = Engine.for_instance(instance, timeout, socket)
    process = None if socket else find_process(list_dockerds(host), instance)
    if process:
        engine.move_to(find_socket(host, process, instance.socket))
    return engine
