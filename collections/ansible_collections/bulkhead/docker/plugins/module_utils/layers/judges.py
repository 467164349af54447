# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of each layer: the module `judge` of its package, by the registry of layers. Used on the control node only."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .registry import JUDGED

# Layer -> its module with `judge` and `judge_container`, in the registry's order.
JUDGES: dict[str, ModuleType] = {name: import_module(f"{__name__.rpartition('.')[0]}.{name}.judge") for name in JUDGED}
