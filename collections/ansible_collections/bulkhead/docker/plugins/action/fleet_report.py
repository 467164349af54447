# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the fleet report from the reports of single hosts. Documented in modules/fleet_report.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import replace_file
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import events, publish, summary
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.fleet import CONDITIONS, GONE, VERIFIED, WAIVER_STATES, InventoryHosts
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import get_run_id, map_inventory_groups, read_collection_version
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import print_lines


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
        inventory = (
            None if args["hosts"] is None else InventoryHosts(map_inventory_groups((task_vars or {}).get("groups", {})), args["hosts"])
        )
        try:
            problems = [problem for path in args["events"] for problem in events.import_events(Path(path), folder)]
            now, stale_seconds = time.time(), args["stale_hours"] * 3600
            done = publish.publish_report(folder, inventory, now, stale_seconds, get_run_id(), read_collection_version(), problems)
            if args["metrics_file"]:
                replace_file(Path(args["metrics_file"]), (folder / publish.METRICS).read_text(encoding="utf-8"))
        except OSError as error:
            return {**result, "failed": True, "msg": f"the fleet report cannot be written: {error}"}
        if args["show"]:
            print_lines(self._display, summary.render_summary(done))
        hosts = {condition: [host.name for host in done.fleet.hosts if host.condition == condition] for condition in CONDITIONS}
        verified = not any(names for condition, names in hosts.items() if condition not in (VERIFIED, GONE)) and not done.fleet.problems
        exposed = {host.name: host.judgement.exposed_containers for host in done.fleet.exposed_hosts if host.judgement}
        waivers = {state: sum(entry.state == state for entry in done.fleet.waivers) for state in WAIVER_STATES}
        result.update(
            changed=False,
            files=done.files,
            problems=done.fleet.problems,
            hosts=hosts,
            verified=verified,
            exposed=exposed,
            waivers=waivers,
            ansible_stats=_build_stats(hosts, verified, exposed, waivers),
        )
        return result


def _build_stats(
    hosts: Mapping[str, list[str]], verified: bool, exposed: Mapping[str, list[str]], waivers: Mapping[str, int]
) -> dict[str, Any]:
    """Return statistics as module set_stats does. A later report of the same run replaces them."""
    fleet = {
        "verified": verified,
        "exposed": exposed,
        "waivers": waivers,
        "hosts": {condition: len(names) for condition, names in hosts.items()},
        "not_verified": {condition: names for condition, names in hosts.items() if names and condition not in (VERIFIED, GONE)},
    }
    return {"data": {"bulkhead_fleet": fleet}, "per_host": False, "aggregate": False}
