# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows and writes the attack matrix of a host, and fails if fewer layers than required stop an attack. Documented in modules/report_attacks.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.attack_network import merge_network
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.attack_requirements import find_requirement_problems
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.attack_table import render_matrix
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import choose_shown, print_lines


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("fail", "matrix", "network", "required", "report_dir", "show"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "fail": {"type": "bool", "default": True},
                "matrix": {"type": "dict", "required": True},
                "network": {"type": "dict", "default": {}},
                "required": {"type": "dict", "default": {}},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "bool", "default": True},
            }
        )
        variables = task_vars or {}
        host = variables.get("inventory_hostname", "host")
        matrix, required = merge_network(args["matrix"], args["network"]), args["required"]
        problems = find_requirement_problems("required", required)
        if problems:
            return {**result, "failed": True, "msg": "\n".join(problems)}
        path = Path(args["report_dir"]) / f"attack-{host}.json"
        report, problem = single.build_attack_report(host, matrix, required)
        if not self._task.check_mode:  # in check mode, no attack is run
            write_report(path, report)
            if report["unmet"]:
                problem += f"; evidence in {path}"
        elif matrix.get("skipped"):
            problem = ""
        if (
            "attacks" in matrix
            and args["show"]
            and choose_shown(str(variables.get("bulkhead_show", "auto")), len(variables.get("ansible_play_hosts_all", ()))) == "all"
        ):
            print_lines(self._display, render_matrix(host, matrix, report["unmet"]))
        unreached = bool(report.get("unreachable"))
        result.update(changed=False, report=str(path), required=required, unmet=report["unmet"], problem=problem, unreached=unreached)
        if problem and args["fail"]:
            result.update(msg=problem, **({"unreachable": True} if unreached else {"failed": True}))
        return result
