# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of the whole fleet from the reports of its hosts. Documented in modules/fleet_report.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import replace
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import events, publish, summary
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.fleet import CONDITIONS, GONE, VERIFIED, Inventory
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import inventory_groups, of_worker, version
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import show


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("events", "hosts", "metrics_file", "report_dir", "show", "stale_hours"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "events": {"type": "list", "elements": "path", "default": []},
                "hosts": {"type": "list", "elements": "str"},
                "metrics_file": {"type": "path"},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "bool", "default": True},
                "stale_hours": {"type": "float", "default": 48.0},
            }
        )
        folder = Path(args["report_dir"])
        inventory = None if args["hosts"] is None else Inventory(inventory_groups((task_vars or {}).get("groups", {})), args["hosts"])
        try:
            untold = [problem for path in args["events"] for problem in events.take(Path(path), folder)]
            done = publish.publish(folder, inventory, time.time(), args["stale_hours"] * 3600, of_worker(), version(), untold)
            if args["metrics_file"]:
                replace(Path(args["metrics_file"]), (folder / publish.METRICS).read_text(encoding="utf-8"))
        except OSError as error:
            return {**result, "failed": True, "msg": f"the report of the fleet could not be written: {error}"}
        if args["show"]:
            show(self._display, summary.lines(done))
        hosts = {condition: [host.name for host in done.fleet.hosts if host.condition == condition] for condition in CONDITIONS}
        verified = not any(names for condition, names in hosts.items() if condition not in (VERIFIED, GONE)) and not done.fleet.problems
        result.update(
            changed=False,
            files=done.files,
            problems=done.fleet.problems,
            hosts=hosts,
            verified=verified,
            ansible_stats=_stats(hosts, verified),
        )
        return result


def _stats(hosts: Mapping[str, list[str]], verified: bool) -> dict[str, Any]:
    """What ansible-core itself returns from set_stats. What a later report of the same run says takes the place of the earlier."""
    fleet = {
        "verified": verified,
        "hosts": {condition: len(names) for condition, names in hosts.items()},
        "not_verified": {condition: names for condition, names in hosts.items() if names and condition not in (VERIFIED, GONE)},
    }
    return {"data": {"bulkhead_fleet": fleet}, "per_host": False, "aggregate": False}
