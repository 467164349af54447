# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a host's proof, write it down, and fail when a required layer does not hold. Documented in modules/report_layers.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import table
from ansible_collections.bulkhead.docker.plugins.plugin_utils.show import show
from ansible_collections.bulkhead.docker.plugins.plugin_utils.write import write

_KEPT = ("at", "canary", "host", "layers", "containers", "findings")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("proof", "report_dir", "show"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "proof": {"type": "dict", "required": True},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "bool", "default": True},
            }
        )
        host = (task_vars or {}).get("inventory_hostname", "host")
        proof = args["proof"]
        if "layers" not in proof:
            return {**result, "failed": True, "msg": f"nothing was proven on {host}: {proof.get('msg', 'verify_layers did not run')}"}
        lacking = table.not_enforced(proof, forgive_unknown=self._task.check_mode)
        report = Path(args["report_dir"]) / f"verify-{host}.json"
        write(
            report,
            {"host": host, "enforced": not lacking, "not_enforced": lacking, "proof": {key: proof[key] for key in _KEPT if key in proof}},
        )
        if args["show"]:
            show(self._display, table.proof_lines(host, proof))
        result.update(changed=False, report=str(report), not_enforced=lacking)
        if lacking:
            result.update(failed=True, msg=f"required and not enforced on {host}: {', '.join(lacking)}; evidence in {report}")
        return result
