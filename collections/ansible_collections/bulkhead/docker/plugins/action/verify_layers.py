# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module, which collects the evidence on the host, and judges it on the control node. Documented in modules/verify_layers.py."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import DISABLED
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verification import judge_host
from ansible_collections.bulkhead.docker.plugins.module_utils.module import make_readable
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.judge import judge_controls
from ansible_collections.bulkhead.docker.plugins.plugin_utils.module_failure import add_reason


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        result.update(self._execute_module(module_name="bulkhead.docker.verify_layers", module_args=args, task_vars=task_vars))
        evidence = result.pop("evidence", None)
        if evidence is None:  # the module failed
            return add_reason(result)
        layers = args.get("layers")
        selected = set(layers.split(",") if isinstance(layers, str) else layers) if layers is not None else None
        read = make_readable(json.loads(evidence))
        expect = args.get("expect") or {}
        if selected is None or "egress" in selected:
            self._add_egress(read, expect, task_vars)
        verification = judge_host(read, expect, selected)
        return {**result, **verification, "controls": judge_controls(read, verification, expect)}

    def _add_egress(self, evidence: dict[str, Any], expect: dict[str, Any], task_vars: dict[str, Any] | None) -> None:
        """Add what only hosts with egress rules are asked for: a module of its own, so that the other hosts do not receive its code."""
        egress = expect.get("egress") or {}
        if egress.get("requirement", DISABLED) == DISABLED:
            return
        probe = egress["probe"] if boolean(self._task.args.get("probe", True)) else {}
        answer = self._execute_module(
            module_name="bulkhead.docker.observe_egress", module_args={**egress["question"], **probe}, task_vars=task_vars
        )
        failed = {"failed": answer.get("msg") or "the module failed"}
        evidence["observed"]["egress"] = answer.get("egress", failed)
