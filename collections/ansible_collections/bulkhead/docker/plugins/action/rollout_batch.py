# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports the result of a batch of a rollout. Documented in modules/rollout_batch.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import publish, single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.fleet import InventoryHosts
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import batch, files
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import get_run_id, map_inventory_groups, read_collection_version
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import print_lines


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("batch", "gate", "hosts", "report_dir", "stale_hours"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "batch": {"type": "str", "required": True},
                "gate": {"type": "bool", "default": False},
                "hosts": {"type": "list", "elements": "str", "required": True},
                "report_dir": {"type": "str", "default": "reports"},
                "stale_hours": {"type": "float", "default": 48.0},
            }
        )
        folder, run = Path(args["report_dir"]), get_run_id()
        try:
            progress = files.read_progress(folder, args["hosts"], run)
            for host in progress.lost:
                # Ansible drops an unreachable host from the play, so no other task reports it.
                report = single.build_report(host, {"msg": single.LOST, "unreachable": True}, False)
                write_report(folder / f"verify-{host}.json", {**report, "run": run})
            if progress.lost:
                inventory = InventoryHosts(map_inventory_groups((task_vars or {}).get("groups", {})), args["hosts"])
                publish.publish_report(folder, inventory, time.time(), args["stale_hours"] * 3600, run, read_collection_version())
        except (OSError, ValueError) as error:
            return {**result, "failed": True, "msg": f"the result of the batch cannot be read: {error}"}
        # Before a batch, only lost hosts are new: the others were reported after their batch.
        if progress.lost or not args["gate"]:
            print_lines(self._display, batch.render_batch(args["batch"], progress, args["report_dir"]))
        result.update(
            changed=False,
            stopped=progress.stopped,
            verified=progress.verified,
            not_verified=progress.failed,
            incomplete=progress.incomplete,
            lost=progress.lost,
            untouched=progress.untouched,
        )
        return result
