# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of the whole fleet from the reports of its hosts. Documented in modules/fleet_report.py."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import publish, summary
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.fleet import CONDITIONS, GONE, PROVEN, Inventory
from ansible_collections.bulkhead.docker.plugins.plugin_utils.show import show
from ansible_collections.bulkhead.docker.plugins.plugin_utils.write import replace

COLLECTION = Path(__file__).resolve().parents[2]


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("hosts", "metrics_file", "report_dir", "show", "stale_hours"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str"},
                "metrics_file": {"type": "path"},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "bool", "default": True},
                "stale_hours": {"type": "float", "default": 48.0},
            }
        )
        folder = Path(args["report_dir"])
        inventory = None if args["hosts"] is None else Inventory(_groups((task_vars or {}).get("groups", {})), args["hosts"])
        try:
            done = publish.publish(folder, inventory, time.time(), args["stale_hours"] * 3600, _run(), _version())
            if args["metrics_file"]:
                replace(Path(args["metrics_file"]), (folder / publish.METRICS).read_text(encoding="utf-8"))
        except OSError as error:
            return {**result, "failed": True, "msg": f"the report of the fleet could not be written: {error}"}
        if args["show"]:
            show(self._display, summary.lines(done))
        result.update(
            changed=False,
            files=done.files,
            problems=done.fleet.problems,
            hosts={condition: [host.name for host in done.fleet.hosts if host.condition == condition] for condition in CONDITIONS},
            proven=all(host.condition in (PROVEN, GONE) for host in done.fleet.hosts) and not done.fleet.problems,
        )
        return result


def _groups(groups: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Every host of the inventory → its groups, but for those that every host is in."""
    found: dict[str, set[str]] = {}
    for group, members in groups.items():
        for host in members:
            found.setdefault(host, set()).update({str(group)} - {"all", "ungrouped"})
    return found


def _run() -> str:
    """Names this run of ansible-playbook, the parent of whoever runs an action: its process ID, and when it started (man 5 proc, stat)."""
    parent = os.getppid()
    try:
        started = Path(f"/proc/{parent}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:  # a control node that is no Linux
        started = ""
    return f"{parent}:{started}"


def _version() -> str:
    """The collection's version: galaxy.yml in a clone, MANIFEST.json once it is installed (a subset of YAML)."""
    for name in ("galaxy.yml", "MANIFEST.json"):
        try:
            about = yaml.safe_load((COLLECTION / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        return str(about.get("collection_info", about)["version"])
    return "unknown"
