# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers that have a state of their own on a host, and the functions that read it.

Ansible sends a host the files that import statements name, so the imports are spelled out; a test compares them with the registry.
"""

from __future__ import annotations

from typing import Any

from ..engine.instance import Instance
from ..host.root import Host
from .apparmor import observe as apparmor
from .pids_limit import observe as pids_limit
from .rootless import observe as rootless
from .seccomp import observe as seccomp
from .userns import observe as userns


def observe_layers(host: Host, instance: Instance, daemons: list[dict[str, Any]]) -> dict[str, Any]:
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
