# SPDX-License-Identifier: GPL-3.0-or-later
"""One host, observed: the machine, the engine, its configuration, and each layer's own part. Reading only."""

from __future__ import annotations

import time
from typing import Any

from ..engine import observe as engine_observe
from ..engine import observe_config
from ..engine.api import Engine
from ..host import system
from ..host.root import Host
from .catalog import observers


def observe(host: Host, engine: Engine) -> dict[str, Any]:
    """The dictionary that planning and judging call `observed`; `engine.containers` holds the whole evidence of each container."""
    return {
        "at": time.time(),
        "system": system.observe(host),
        "engine": engine_observe.observe(host, engine),
        **observe_config.observe(host),
        "layers": {name: look(host) for name, look in observers().items()},
    }


def for_planning(observed: dict[str, Any]) -> dict[str, Any]:
    """The same without what only judging needs: planning reads a line a container."""
    engine = dict(observed["engine"])
    engine["containers"] = [engine_observe.brief(c) for c in engine["containers"]]
    return {**observed, "engine": engine}
