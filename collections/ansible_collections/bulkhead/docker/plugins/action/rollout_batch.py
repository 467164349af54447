# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say how a batch of a rollout ended. Documented in modules/rollout_batch.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import publish, single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.fleet import Inventory
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import batch, files
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import inventory_groups, of_worker, version
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import show


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
        folder, run = Path(args["report_dir"]), of_worker()
        try:
            done = files.come_to(folder, args["hosts"], run)
            for host in done.lost:
                # Ansible drops a host that it does not reach from the play, so that nobody has said it of this one.
                write(folder / f"verify-{host}.json", {**single.make(host, {"msg": single.LOST, "unreachable": True}, False), "run": run})
            if done.lost:
                inventory = Inventory(inventory_groups((task_vars or {}).get("groups", {})), args["hosts"])
                publish.publish(folder, inventory, time.time(), args["stale_hours"] * 3600, run, version())
        except (OSError, ValueError) as error:
            return {**result, "failed": True, "msg": f"how the batch ended can't be told: {error}"}
        # At the gate of a batch it is news only of hosts that nobody could speak for before.
        if done.lost or not args["gate"]:
            show(self._display, batch.lines(args["batch"], done, args["report_dir"]))
        result.update(
            changed=False,
            stopped=done.wrong,
            verified=done.verified,
            not_verified=done.failed,
            beside=done.stopped,
            lost=done.lost,
            untouched=done.untouched,
        )
        return result
