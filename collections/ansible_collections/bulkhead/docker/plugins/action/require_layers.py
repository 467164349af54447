# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last word on a host: fails, or counts it as unreachable. Documented in modules/require_layers.py."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import single


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("report",))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(argument_spec={"report": {"type": "dict", "required": True}})
        report = args["report"]
        problem = single.with_evidence(report) if "problem" in report else "nothing was reported of this host"
        result["changed"] = False
        if report.get("unreached"):
            # As if the connection had failed in this task: then Ansible's recap and exit code say so, after the report was written.
            result.update(unreachable=True, msg=problem)
        elif problem:
            result.update(failed=True, msg=problem, **({"blockers": report["refused"]} if report.get("refused") else {}))
        return result
