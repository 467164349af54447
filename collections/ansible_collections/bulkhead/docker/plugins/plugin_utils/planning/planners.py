# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of each layer that a role configures: the module `plan` of its package, by the registry of layers."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

from ...module_utils.layers.registry import SWITCHES

_LAYERS = __name__.partition(".plugin_utils.")[0] + ".module_utils.layers"


@cache
def load_planners() -> dict[str, ModuleType]:
    """Return layer -> its module with `plan` and `expectation`, in the registry's order."""
    return {name: import_module(f"{_LAYERS}.{name}.plan") for name in SWITCHES}
