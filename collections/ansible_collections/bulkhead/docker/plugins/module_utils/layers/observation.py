# SPDX-License-Identifier: GPL-3.0-or-later
"""The observation of one host: the machine, the engine, its configuration, and each layer's own part. Reads only."""

from __future__ import annotations

import time
from typing import Any

from ..engine import observe as engine_observe
from ..engine.api import Engine
from ..engine.instance import ROOTFUL, Instance
from ..engine.observe import ContentsReader
from ..engine_config import observe as observe_config
from ..host import pending, system
from ..host.root import Host
from .observers import observe_layers


def observe_host(host: Host, engine: Engine, instance: Instance = ROOTFUL, read_contents: ContentsReader | None = None) -> dict[str, Any]:
    """Return what planning and judging call `observed`; `engine.containers` has the whole evidence on each container.

    instance: the engine that the inventory selects for this host. `engine`, `daemon_json`, `unit`, `managed` and the layers describe that one.
    read_contents: reads what the engine stores, for planning.
    """
    engine_state = engine_observe.observe_engine(host, engine, instance, read_contents)
    return {
        "at": time.time(),
        "system": system.observe_system(host),
        "pending": pending.observe_pending(host, engine_state),
        "instance": instance.as_dict(),
        "engine": engine_state,
        **observe_config.observe_config(host, instance),
        "layers": observe_layers(host, instance, engine_state["daemons"]),
    }


def shorten_for_planning(observed: dict[str, Any]) -> dict[str, Any]:
    """Return the observation without what only judging needs: planning reads one line per container."""
    engine = dict(observed["engine"])
    engine["containers"] = [engine_observe.summarize_container(container) for container in engine["containers"]]
    return {**observed, "engine": engine}
