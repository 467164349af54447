# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows and writes a host's verification, and fails if a requirement is not met. Documented in modules/report_layers.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.plan import narrow_selection
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.policy import judge_policy, resolve_policy
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.verification_table import render_verification
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.waivers import get_today
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout.decision import hash_expectations
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import get_run_id
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import choose_shown, print_lines

# The number of changes in the message; the report has all.
MAX_CHANGES = 5


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(
        (
            "expect",
            "fail",
            "failure",
            "forbid",
            "plan",
            "report_dir",
            "required_controls",
            "required_layers",
            "show",
            "started",
            "verification",
            "waivers",
        )
    )
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "expect": {"type": "dict"},
                "fail": {"type": "bool", "default": True},
                "failure": {"type": "dict"},
                "forbid": {"type": "raw"},
                "plan": {"type": "dict"},
                "verification": {"type": "dict"},
                "report_dir": {"type": "str", "default": "reports"},
                "required_controls": {"type": "raw"},
                "required_layers": {"type": "list", "elements": "str"},
                "started": {"type": "bool", "default": False},
                "show": {"type": "str", "default": "auto", "choices": ["auto", "all", "failing"]},
                "waivers": {"type": "raw"},
            }
        )
        variables = task_vars or {}
        host = variables.get("inventory_hostname", "host")
        verification = {"msg": single.STARTED} if args["started"] else args["verification"]
        if verification is None:
            return {**result, "failed": True, "msg": "verification: is missing; write the result of verify_layers, or started: true"}
        policy, wrong = resolve_policy(args["forbid"], args["waivers"], args["expect"], args["required_controls"])
        if wrong and "layers" in verification:
            return {**result, "failed": True, "msg": "; ".join(wrong)}
        today = get_today()
        path = Path(args["report_dir"]) / f"verify-{host}.json"
        # A run without a result must replace the good report of an earlier run.
        required = None if args["required_layers"] is None else narrow_selection(args["required_layers"])
        report = single.build_report(host, verification, self._task.check_mode, required, args["failure"], policy, today)
        if args["plan"] is not None:
            report["drift"], drift = _describe_drift(host, args["plan"])
            report["problem"] = "; ".join(message for message in (report["problem"], drift) if message)
        report.update(run=get_run_id(), started=args["started"], expected=hash_expectations(args["expect"] or {}))
        write_report(path, report)
        if args["started"]:
            return {**result, "changed": False, "report": str(path)}
        problem = report["problem"]

        if "layers" in verification and choose_shown(args["show"], len(variables.get("ansible_play_hosts_all", ()))) == "all":
            judgement = judge_policy(host, verification, policy, today)
            print_lines(self._display, render_verification(host, verification, judgement))
        result.update(
            changed=False,
            report=str(path),
            not_enforced=report["not_enforced"],
            problem=problem,
            exposed=report.get("exposed", []),
            exposed_problem=single.describe_exposed(host, report),
            waived=report.get("waived", []),
            unmet_controls=report.get("unmet_controls", []),
            **({"policy": report["policy"]} if "policy" in report else {}),
            unreached=report.get("unreachable", False),
        )
        message = single.describe_problem(result)
        if message and args["fail"]:
            result.update(failed=True, msg=message)
        return result


def _describe_drift(host: str, plan: Mapping[str, Any]) -> tuple[list[dict[str, str]] | None, str]:
    """Return what harden.yml would change, and its blockers, as a list and as one message. The list is None without a plan."""
    if "layers" not in plan:
        return None, f"the drift of {host} is unknown: {plan.get('msg', 'plan_layers did not run')}"
    found = [{"layer": name, "summary": change["summary"]} for name, layer in plan["layers"].items() for change in layer["changes"]]
    found += [{"layer": "blocked", "summary": text} for text in plan.get("blockers", ())]
    texts = [f"{change['layer']}: {change['summary']}" for change in found[:MAX_CHANGES]]
    if len(found) > MAX_CHANGES:
        texts.append(f"and {len(found) - MAX_CHANGES} more")
    return found, f"{host} differs from the desired state: {'; '.join(texts)}" if found else ""
