# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fails a host with a problem, or makes it unreachable. Documented in modules/require_layers.py."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import single


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("exposures", "report"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={"exposures": {"type": "bool", "default": True}, "report": {"type": "dict", "required": True}}
        )
        report = args["report"]
        problem = single.describe_problem(report, args["exposures"]) if "problem" in report else "the report of this host does not exist"
        result["changed"] = False
        if report.get("unreached"):
            # As if this task had lost the connection, so that Ansible's recap and exit code show it after the report was written.
            result.update(unreachable=True, msg=problem)
        elif problem:
            result.update(failed=True, msg=problem, **({"blockers": report["blockers"]} if report.get("blockers") else {}))
        return result
