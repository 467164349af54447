# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of each layer that a role configures: the module `plan` of its package, by the registry of layers."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ...module_utils.layers.registry import SWITCHES

_LAYERS = __name__.partition(".plugin_utils.")[0] + ".module_utils.layers"

# Layer -> its module with `plan` and `expectation`, in the registry's order. Ansible forks a process per task from the one that loads an action
# plugin, and compiles a collection's files anew in each process: what is imported here is compiled once in a run.
PLANNERS: dict[str, ModuleType] = {name: import_module(f"{_LAYERS}.{name}.plan") for name in SWITCHES}
