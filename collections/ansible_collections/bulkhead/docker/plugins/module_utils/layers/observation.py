# SPDX-License-Identifier: GPL-3.0-or-later
"""The observation of one host: the machine, the engine, its configuration, and each layer's own part. Reads only.

Ansible sends a host the files that import statements name, so the layers with a state of their own on a host are imported one by one; a test
compares them with the registry.
"""

from __future__ import annotations

import time
from typing import Any

from ..engine.api import Engine
from ..engine.instance import Instance
from ..engine.observe import ContainersReader, ContentsReader, observe_engine
from ..engine_config.observe import observe_config
from ..host import system
from ..host.root import Host
from .apparmor import observe as apparmor
from .pids_limit import observe as pids_limit
from .rootless import observe as rootless
from .seccomp import observe as seccomp
from .userns import observe as userns


def observe_host(
    host: Host, engine: Engine, instance: Instance, read_containers: ContainersReader, read_contents: ContentsReader | None = None
) -> dict[str, Any]:
    """Return what planning and judging call `observed`; `engine.containers` is what `read_containers` returns.

    instance: the engine that the inventory selects for this host. `engine`, `daemon_json`, `unit` and the layers describe that one.
    read_contents: reads what the engine stores, for planning.
    """
    engine_state = observe_engine(host, engine, instance, read_containers, read_contents)
    return {
        "at": time.time(),
        "system": system.observe_system(host),
        "instance": instance.as_dict(),
        "engine": engine_state,
        **observe_config(host, instance),
        "layers": _observe_layers(host, instance, engine_state["daemons"]),
    }


def _observe_layers(host: Host, instance: Instance, daemons: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the state of each layer by name.

    instance: the engine that the inventory selects for this host. daemons: every dockerd of the host (engine/processes.py).
    """
    return {
        "pids_limit": pids_limit.observe(host, instance),
        "seccomp": seccomp.observe(host),
        "apparmor": apparmor.observe(host),
        "userns": userns.observe(host),
        "rootless": rootless.observe(host, instance, daemons),
    }
