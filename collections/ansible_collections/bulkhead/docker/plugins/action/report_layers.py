# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a host's verification, write it down, and fail when a required layer does not hold. Documented in modules/report_layers.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import write
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import table
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.plan import narrowed
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout.decision import digests
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import of_worker
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import chosen, show


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("expect", "fail", "failure", "plan", "report_dir", "required_layers", "show", "started", "verification"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "expect": {"type": "dict"},
                "fail": {"type": "bool", "default": True},
                "failure": {"type": "dict"},
                "plan": {"type": "dict"},
                "verification": {"type": "dict"},
                "report_dir": {"type": "str", "default": "reports"},
                "required_layers": {"type": "list", "elements": "str"},
                "started": {"type": "bool", "default": False},
                "show": {"type": "str", "default": "auto", "choices": ["auto", "all", "failing"]},
            }
        )
        variables = task_vars or {}
        host = variables.get("inventory_hostname", "host")
        verification = {"msg": single.BEGUN} if args["started"] else args["verification"]
        if verification is None:
            return {**result, "failed": True, "msg": "verification: is missing; write what verify_layers returned, or started: true"}
        path = Path(args["report_dir"]) / f"verify-{host}.json"
        # A host that the last try came to nothing on must not be left with the good report of an earlier one.
        demand = None if args["required_layers"] is None else narrowed(args["required_layers"])
        report = single.make(host, verification, self._task.check_mode, demand, args["failure"])
        if args["plan"] is not None:
            report["drift"], drifted = _drift(host, args["plan"])
            report["problem"] = "; ".join(sentence for sentence in (report["problem"], drifted) if sentence)
        report.update(run=of_worker(), begun=args["started"], expected=digests(args["expect"] or {}))
        write(path, report)
        if args["started"]:
            return {**result, "changed": False, "report": str(path)}
        problem = report["problem"]

        if "layers" in verification and chosen(args["show"], len(variables.get("ansible_play_hosts_all", ()))) == "all":
            show(self._display, table.verification_lines(host, verification))
        result.update(
            changed=False,
            report=str(path),
            not_enforced=report["not_enforced"],
            problem=problem,
            unreached=report.get("unreachable", False),
        )
        if problem and args["fail"]:
            result.update(failed=True, msg=single.with_evidence(result))
        return result


def _drift(host: str, plan: Mapping[str, Any]) -> tuple[list[dict[str, str]] | None, str]:
    """What harden.yml would change, or refuses to, and the same in one sentence. None where there is no plan to tell it."""
    if "layers" not in plan:
        return None, f"nobody knows whether {host} is as the inventory wants it: {plan.get('msg', 'plan_layers did not run')}"
    found = [{"layer": name, "summary": change["summary"]} for name, layer in plan["layers"].items() for change in layer["changes"]]
    found += [{"layer": "refused", "summary": sentence} for sentence in plan.get("blockers", ())]
    told = "; ".join(f"{change['layer']}: {change['summary']}" for change in found[:5])
    return found, f"{host} has drifted from what the inventory wants: {told}" + (
        f"; and {len(found) - 5} more" if len(found) > 5 else ""
    ) if found else ""
