# SPDX-License-Identifier: GPL-3.0-or-later
"""The observation of one host: the machine, the engine, its configuration, and each layer's own part. Reads only.

Ansible sends a host the files that import statements name, so the layers with a state of their own on a host are imported one by one; a test
compares them with the registry.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..engine.api import Engine
from ..engine.configuration import strip_remapped
from ..engine.instance import ROOTFUL, Instance
from ..engine.observe import ContainersReader, ContentsReader, observe_engine
from ..engine.processes import find_process, list_dockerds
from ..engine_config.observe import observe_config
from ..host import audit_rules, system
from ..host.root import STATE_DIR, Host
from .apparmor import observe as apparmor
from .files import observe as files
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
    daemons = list_dockerds(host)
    process = find_process(daemons, instance)
    config = observe_config(host, instance, process)
    if engine.socket == instance.socket:
        engine.move_to(config["unit"]["socket"])
    engine_state = observe_engine(host, engine, instance, daemons, read_containers, read_contents, config["unit"]["program"])
    rootful = config["unit"] if not instance.rootless else observe_config(host, ROOTFUL, find_process(daemons, ROOTFUL))["unit"]
    return {
        "at": time.time(),
        "system": system.observe_system(host),
        "instance": instance.as_dict(),
        "engine": engine_state,
        **config,
        "layers": {
            **_observe_layers(host, instance, daemons, config, rootful, "" if instance.rootless else engine_state.get("root_dir", "")),
            "audit_rules": audit_rules.observe_rules(
                host,
                dockerd=(process or {}).get("exe") or config["unit"]["program"] or "/usr/bin/dockerd",
                data_root=strip_remapped(engine_state.get("root_dir") or config["unit"]["data_root"]),
            ),
            "egress": {"configured": host.path(f"{STATE_DIR}/egress.nft").exists()},  # more of it is read by module observe_egress
        },
    }


def _observe_layers(
    host: Host,
    instance: Instance,
    daemons: list[dict[str, Any]],
    config: Mapping[str, Any],
    rootful: Mapping[str, Any],
    root_dir: str,
) -> dict[str, Any]:
    """Return the state of each layer by name.

    instance: the engine that the inventory selects for this host. daemons: every dockerd of the host (engine/processes.py).
    config: of that engine (engine_config/observe.py).
    rootful, root_dir: `unit` of the rootful engine (engine_config/observe.py), and its data root while it runs.
    """
    return {
        "pids_limit": pids_limit.observe(host, instance),
        "seccomp": seccomp.observe(host),
        "apparmor": apparmor.observe(host),
        "userns": userns.observe(host, rootful, root_dir),
        "rootless": rootless.observe(host, instance, daemons, str(rootful["socket"])),
        "files": files.observe(host, instance, config, rootful),
    }
