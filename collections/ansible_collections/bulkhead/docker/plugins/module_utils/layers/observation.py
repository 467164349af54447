# SPDX-License-Identifier: GPL-3.0-or-later
"""One host, observed: the machine, the engine, its configuration, and each layer's own part. Reading only."""

from __future__ import annotations

import time
from typing import Any

from ..engine import observe as engine_observe
from ..engine.api import Engine
from ..engine.instance import ROOTFUL, Instance
from ..engine_config import observe as observe_config
from ..host import pending, system
from ..host.root import Host
from .catalog import observers


def observe(host: Host, engine: Engine, instance: Instance = ROOTFUL) -> dict[str, Any]:
    """The dictionary that planning and judging call `observed`; `engine.containers` holds the whole evidence of each container.

    instance: the engine that the inventory wants on this host. `engine`, `daemon_json`, `unit`, `managed` and the layers are about that one.
    """
    seen = engine_observe.observe(host, engine, instance)
    return {
        "at": time.time(),
        "system": system.observe(host),
        "pending": pending.observe(host, seen),
        "instance": instance.as_dict(),
        "engine": seen,
        **observe_config.observe(host, instance),
        "layers": {name: look(host) for name, look in observers(instance).items()},
    }


def for_planning(observed: dict[str, Any]) -> dict[str, Any]:
    """The same without what only judging needs: planning reads a line a container."""
    engine = dict(observed["engine"])
    engine["containers"] = [engine_observe.brief(c) for c in engine["containers"]]
    return {**observed, "engine": engine}
