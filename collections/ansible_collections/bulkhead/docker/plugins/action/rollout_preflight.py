# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show in one table what a rollout will do where. Documented in modules/rollout_preflight.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import files, preflight
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout.decision import REFUSED, UNREACHABLE
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import of_worker
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import show


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
            notes = files.notes(Path(args["report_dir"]), args["hosts"], of_worker())
        except (OSError, ValueError) as error:
            return {**result, "failed": True, "msg": f"what was found of the hosts can't be read: {error}"}
        missing = sorted(set(args["hosts"]) - {note["host"] for note in notes})
        if missing:
            return {**result, "failed": True, "msg": f"of these hosts nothing was found out: {', '.join(missing)}"}
        show(self._display, preflight.lines(notes, args["batch_size"], args["report_dir"]))
        result.update(
            changed=False,
            stops=[note["host"] for note in notes if note["stops"]],
            not_taken=[note["host"] for note in notes if note["fate"] in (REFUSED, UNREACHABLE)],
        )
        return result
