# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a host's proof, write it down, and fail when a required layer does not hold. Documented in modules/report_layers.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import table
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.host import verify_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.show import chosen, show
from ansible_collections.bulkhead.docker.plugins.plugin_utils.write import write


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("fail", "proof", "report_dir", "show"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "fail": {"type": "bool", "default": True},
                "proof": {"type": "dict", "required": True},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "str", "default": "auto", "choices": ["auto", "all", "failing"]},
            }
        )
        variables = task_vars or {}
        host = variables.get("inventory_hostname", "host")
        proof = args["proof"]
        path = Path(args["report_dir"]) / f"verify-{host}.json"
        # A host that the last try came to nothing on must not be left with the good report of an earlier one.
        lacking = table.not_enforced(proof, forgive_unknown=self._task.check_mode) if "layers" in proof else []
        report = verify_report(host, proof, lacking)
        problem = _problem(report)
        write(path, report)

        if "layers" in proof and chosen(args["show"], len(variables.get("ansible_play_hosts_all", ()))) == "all":
            show(self._display, table.proof_lines(host, proof))
        evidence = f"{problem}; evidence in {path}" if lacking else problem
        result.update(
            changed=False,
            report=str(path),
            not_enforced=lacking,
            problem=evidence,
            unreached=report.get("unreachable", False),
        )
        if problem and args["fail"]:
            result.update(failed=True, msg=evidence)
        return result


def _problem(report: Mapping[str, Any]) -> str:
    """What is wrong with the host, in one sentence; empty when nothing is, or when check mode forgives it."""
    host, lacking = report["host"], report["not_enforced"]
    if "error" in report:
        return f"{host} was not reached: {report['error']}" if report["unreachable"] else f"nothing was proven on {host}: {report['error']}"
    return f"required and not enforced on {host}: {', '.join(lacking)}" if lacking else ""
