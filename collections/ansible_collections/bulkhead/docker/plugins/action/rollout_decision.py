# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write down what the preflight found of a host, and say what becomes of it. Documented in modules/rollout_decision.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import read, single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import decision, files
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import OURS, of_worker


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
        problem = decision.problem({**dict.fromkeys(variables), **switches})
        if problem:
            plan = {"msg": f"Nothing was changed. {problem}", "blockers": [problem]}
            switches = {}
        folder, run = Path(args["report_dir"]), of_worker()
        minutes = args["resume_minutes"] if args["resume"] else 0.0
        last = read.one(folder, "verify", host)
        verification = decision.Verification(last, plan.get("expect", {}), plan.get("selected", ()), minutes, time.time())
        found = decision.make(host, plan, variables.get("group_names", ()), switches, verification)
        try:
            files.save(folder, found, run)
            if found["fate"] == decision.UNREACHABLE or (found["fate"] == decision.REFUSED and not found["stops"]):
                self._report(folder, host, plan, run)
        except OSError as error:
            return {**result, "failed": True, "msg": f"what was found of {host} could not be written: {error}"}
        result.update(
            changed=False,
            batch=found["batch"] if found["fate"] == decision.TAKE else "",
            group=f"{OURS}{found['batch'] if found['fate'] == decision.TAKE else 'none'}",
            fate=found["fate"],
            problem=_problem(host, found),
            unreached=found["fate"] == decision.UNREACHABLE,
            refused=found["blockers"],
        )
        return result

    def _report(self, folder: Path, host: str, plan: dict[str, Any], run: str) -> None:
        """A host that is left out, or away, is not a good one, whatever was verified of it before."""
        if not self._task.check_mode:
            report = single.make(host, {"msg": plan.get("msg"), "unreachable": plan.get("unreachable")}, False)
            write(folder / f"verify-{host}.json", {**report, "run": run})


def _problem(host: str, found: dict[str, Any]) -> str:
    if found["fate"] == decision.UNREACHABLE:
        return f"{host} was not reached: {found['why']}"
    return str(found["why"]) if found["fate"] == decision.REFUSED else ""
