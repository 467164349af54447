# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows in one table what a rollout will do to which hosts. Documented in modules/rollout_preflight.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import files, preflight
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout.decision import BLOCKED, UNREACHABLE
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import get_run_id
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import print_lines


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("batch_size", "hosts", "report_dir"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "batch_size": {"type": "str", "default": "25%"},
                "hosts": {"type": "list", "elements": "str", "required": True},
                "report_dir": {"type": "str", "default": "reports"},
            }
        )
        try:
            decisions = files.read_decisions(Path(args["report_dir"]), args["hosts"], get_run_id())
        except (OSError, ValueError) as error:
            return {**result, "failed": True, "msg": f"the decisions cannot be read: {error}"}
        missing = sorted(set(args["hosts"]) - {entry["host"] for entry in decisions})
        if missing:
            return {
                **result,
                "failed": True,
                "msg": f"hosts without a decision: {', '.join(missing)}; run rollout_decision on these hosts first",
            }
        print_lines(self._display, preflight.render_preflight(decisions, args["batch_size"], args["report_dir"]))
        result.update(
            changed=False,
            stops=[entry["host"] for entry in decisions if entry["stops"]],
            excluded=[entry["host"] for entry in decisions if entry["decision"] in (BLOCKED, UNREACHABLE)],
        )
        return result
