# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a host's matrix, write it down, and fail when it does not show what the inventory demands. Documented in modules/report_attacks.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.attribution import demands
from ansible_collections.bulkhead.docker.plugins.plugin_utils.attack.demand import problems
from ansible_collections.bulkhead.docker.plugins.plugin_utils.attack.table import matrix_lines
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.host import attack_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.show import chosen, show
from ansible_collections.bulkhead.docker.plugins.plugin_utils.write import write


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("matrix", "required", "report_dir", "show"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "matrix": {"type": "dict", "required": True},
                "required": {"type": "dict", "default": {}},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "bool", "default": True},
            }
        )
        host = (task_vars or {}).get("inventory_hostname", "host")
        matrix, required = args["matrix"], args["required"]
        wrong = problems("required", required)
        if wrong:
            return {**result, "failed": True, "msg": "\n".join(wrong)}
        if "attacks" not in matrix:
            return {**result, "failed": True, "msg": f"nothing was played on {host}: {matrix.get('msg', 'attack_matrix did not run')}"}
        unmet = demands(matrix["attacks"], required)
        report = Path(args["report_dir"]) / f"attack-{host}.json"
        write(report, attack_report(host, matrix, required, unmet))
        variables = task_vars or {}
        if args["show"] and chosen(str(variables.get("show", "auto")), len(variables.get("ansible_play_hosts_all", ()))) == "all":
            show(self._display, matrix_lines(host, matrix, unmet))
        result.update(changed=False, report=str(report), required=required, unmet=unmet)
        if unmet:
            result.update(
                failed=True, msg=f"attacks on {host} are not stopped as the inventory demands: {'; '.join(unmet)}; all in {report}"
            )
        return result
