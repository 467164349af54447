# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what a rollout does with a host, and writes the decision. Documented in modules/rollout_decision.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.read import read_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import decision, files
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import BATCH_GROUP_PREFIX, get_run_id


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("plan", "report_dir", "resume", "resume_minutes"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "plan": {"type": "dict", "required": True},
                "report_dir": {"type": "str", "default": "reports"},
                "resume": {"type": "bool", "default": True},
                "resume_minutes": {"type": "float", "default": 60.0},
            }
        )
        variables, plan = task_vars or {}, dict(args["plan"])
        host = variables["inventory_hostname"]
        switches = {name: self._templar.template(variables[name]) for name in decision.SWITCHES if name in variables}
        problem = decision.find_switch_problem({**dict.fromkeys(variables), **switches})
        if problem:
            plan = {"msg": f"Nothing was changed. {problem}", "blockers": [problem]}
            switches = {}
        folder, run = Path(args["report_dir"]), get_run_id()
        minutes = args["resume_minutes"] if args["resume"] else 0.0
        report = read_report(folder, "verify", host)
        last = decision.LastReport(report, plan.get("expect", {}), plan.get("selected", ()), minutes, time.time())
        found = decision.decide_host(host, plan, variables.get("group_names", ()), switches, last)
        try:
            files.save_decision(folder, found, run)
            if found["decision"] == decision.UNREACHABLE or (found["decision"] == decision.BLOCKED and not found["stops"]):
                self._write_report(folder, host, plan, run)
        except OSError as error:
            return {**result, "failed": True, "msg": f"the decision for {host} cannot be written: {error}"}
        batch = found["batch"] if found["decision"] == decision.INCLUDED else ""
        result.update(
            changed=False,
            batch=batch,
            group=f"{BATCH_GROUP_PREFIX}{batch or 'none'}",
            decision=found["decision"],
            problem=_describe_problem(host, found),
            unreached=found["decision"] == decision.UNREACHABLE,
            blockers=found["blockers"],
        )
        return result

    def _write_report(self, folder: Path, host: str, plan: dict[str, Any], run: str) -> None:
        """Replace earlier results of a host that is left out or unreachable, so that it does not count as verified."""
        if not self._task.check_mode:
            report = single.build_report(host, {"msg": plan.get("msg"), "unreachable": plan.get("unreachable")}, False)
            write_report(folder / f"verify-{host}.json", {**report, "run": run})


def _describe_problem(host: str, found: dict[str, Any]) -> str:
    if found["decision"] == decision.UNREACHABLE:
        return f"{host} was not reached: {found['why']}"
    return str(found["why"]) if found["decision"] == decision.BLOCKED else ""
