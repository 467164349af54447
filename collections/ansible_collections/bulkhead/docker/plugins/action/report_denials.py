# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows and writes the denials of a host. Documented in modules/report_denials.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import denials, read, single, usual
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import choose_shown, print_lines

MAX_DAYS = 1000


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("denials", "report_dir", "show", "usual_days"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "denials": {"type": "dict", "required": True},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "str", "default": "auto", "choices": ["auto", "all", "failing"]},
                "usual_days": {"type": "float", "default": usual.DEFAULT_DAYS},
            }
        )
        if not 0 < args["usual_days"] < MAX_DAYS:
            return {
                **result,
                "failed": True,
                "msg": f"bulkhead_usual_days: {args['usual_days']:g}; write a number of days above 0 and below {MAX_DAYS}",
            }
        variables = task_vars or {}
        host, info = variables.get("inventory_hostname", "host"), args["denials"]
        path = Path(args["report_dir"]) / f"denials-{host}.json"
        # A run without a result must replace the good report of an earlier run.
        report, problem = single.build_denials_report(host, info)
        seen = _read_sightings(path)
        if found := report["denials_info"]:
            verified = (read.read_report(path.parent, "verify", host) or {}).get("verification") or {}
            running = verified.get("containers") or ()
            found["denials"], seen = usual.mark_new(found["denials"], seen, found["at"], args["usual_days"], running, found["sources"])
        report["sightings"] = seen.as_json()
        write_report(path, report)
        new = denials.count_new(report["denials_info"])
        if report["denials_info"] and choose_shown(args["show"], len(variables.get("ansible_play_hosts_all", ()))) == "all":
            print_lines(self._display, denials.render_denials(host, report["denials_info"]))
        result.update(changed=False, report=str(path), problem=problem, new=new, unreached=report.get("unreachable", False))
        return result


def _read_sightings(path: Path) -> usual.Sightings:
    """Return the sightings of the host's last report. Without a valid report, they are empty."""
    try:
        return usual.read_sightings(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return usual.Sightings()
