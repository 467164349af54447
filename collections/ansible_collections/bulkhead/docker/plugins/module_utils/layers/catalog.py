# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of layers, in order of effort. Adding a layer means adding its folder here and its lines below.

The imports stand inside functions, so that a step loads only its own files; they are spelled out, because Ansible
finds what it has to send to a host by reading import statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Optional

from ..engine.instance import ROOTFUL, Instance
from ..host.root import Host

# Which variable switches a layer on a host; a layer of containers alone has none.
SWITCHES: dict[str, str] = {
    "pids_limit": "docker_daemon_pids_limit_layer",
    "no_new_privileges": "docker_daemon_no_new_privileges_layer",
    "seccomp": "seccomp_profiles_layer",
    "apparmor": "apparmor_profiles_layer",
    "userns": "userns_remap_layer",
    "rootless": "rootless_docker_layer",
}

Observer = Callable[[Host], dict[str, Any]]
Prover = Callable[[Host, Optional[Mapping[str, Any]], Mapping[str, Any]], dict[str, Any]]  # noqa: UP045 (runs, and is no annotation)


def observers(instance: Instance = ROOTFUL) -> dict[str, Observer]:
    """For each layer with a state of its own on the host: the function that reads it. `instance`: the engine that is desired there."""
    from .apparmor import observe as apparmor
    from .pids_limit import observe as pids_limit
    from .rootless import observe as rootless
    from .seccomp import observe as seccomp
    from .userns import observe as userns

    return {
        "pids_limit": partial(pids_limit.observe, instance=instance),
        "seccomp": seccomp.observe,
        "apparmor": apparmor.observe,
        "userns": userns.observe,
        "rootless": partial(rootless.observe, instance=instance),
    }


def planners() -> dict[str, ModuleType]:
    """For each layer that a host configures: its module with `plan` and `expectation`."""
    from .apparmor import plan as apparmor
    from .no_new_privileges import plan as no_new_privileges
    from .pids_limit import plan as pids_limit
    from .rootless import plan as rootless
    from .seccomp import plan as seccomp
    from .userns import plan as userns

    return {
        "pids_limit": pids_limit,
        "no_new_privileges": no_new_privileges,
        "seccomp": seccomp,
        "apparmor": apparmor,
        "userns": userns,
        "rootless": rootless,
    }


def provers() -> dict[str, Prover]:
    """For each layer whose proof needs more than an observation and a process's status: the function that gathers it."""
    from .apparmor import gather as apparmor
    from .seccomp import gather as seccomp

    return {"seccomp": seccomp.gather, "apparmor": apparmor.gather}


def judges() -> dict[str, ModuleType]:
    """For each layer: its module with `judge` and `judge_container`."""
    from .apparmor import judge as apparmor
    from .capabilities import judge as capabilities
    from .no_new_privileges import judge as no_new_privileges
    from .non_root_user import judge as non_root_user
    from .pids_limit import judge as pids_limit
    from .read_only_root import judge as read_only_root
    from .rootless import judge as rootless
    from .seccomp import judge as seccomp
    from .userns import judge as userns

    return {
        "pids_limit": pids_limit,
        "no_new_privileges": no_new_privileges,
        "seccomp": seccomp,
        "apparmor": apparmor,
        "userns": userns,
        "capabilities": capabilities,
        "read_only_root": read_only_root,
        "non_root_user": non_root_user,
        "rootless": rootless,
    }
