# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a host's proof, write it down, and fail when a required layer does not hold. Documented in modules/report_layers.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import table
from ansible_collections.bulkhead.docker.plugins.plugin_utils.show import chosen, show
from ansible_collections.bulkhead.docker.plugins.plugin_utils.write import write

_KEPT = ("at", "canary", "host", "layers", "containers", "engines", "findings")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("fail", "plan", "proof", "report_dir", "show"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "fail": {"type": "bool", "default": True},
                "plan": {"type": "dict"},
                "proof": {"type": "dict", "required": True},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "str", "default": "auto", "choices": ["auto", "all", "failing"]},
            }
        )
        variables = task_vars or {}
        host = variables.get("inventory_hostname", "host")
        proof = args["proof"]
        path = Path(args["report_dir"]) / f"verify-{host}.json"
        # A host that the last try came to nothing on must not be left with the good report of an earlier one.
        report, problem = _report(host, proof, self._task.check_mode)
        if args["plan"] is not None:
            report["drift"], drifted = _drift(host, args["plan"])
            problem = "; ".join(sentence for sentence in (problem, drifted) if sentence)
        write(path, report)

        if "layers" in proof and chosen(args["show"], len(variables.get("ansible_play_hosts_all", ()))) == "all":
            show(self._display, table.proof_lines(host, proof))
        evidence = f"{problem}; evidence in {path}" if report["not_enforced"] else problem
        result.update(
            changed=False,
            report=str(path),
            not_enforced=report["not_enforced"],
            problem=evidence,
            unreached=report.get("unreachable", False),
        )
        if problem and args["fail"]:
            result.update(failed=True, msg=evidence)
        return result


def _drift(host: str, plan: Mapping[str, Any]) -> tuple[list[dict[str, str]] | None, str]:
    """What harden.yml would change, or refuses to, and the same in one sentence. None where there is no plan to tell it."""
    if "layers" not in plan:
        return None, f"nobody knows whether {host} is as the inventory wants it: {plan.get('msg', 'plan_layers did not run')}"
    found = [{"layer": name, "summary": change["summary"]} for name, layer in plan["layers"].items() for change in layer["changes"]]
    found += [{"layer": "refused", "summary": sentence} for sentence in plan.get("refusals", ())]
    told = "; ".join(f"{change['layer']}: {change['summary']}" for change in found[:5])
    return found, f"{host} has drifted from what the inventory wants: {told}" + (
        f"; and {len(found) - 5} more" if len(found) > 5 else ""
    ) if found else ""


def _report(host: str, proof: Mapping[str, Any], check_mode: bool) -> tuple[dict[str, Any], str]:
    """What is written of a host, and what is wrong there, in one sentence; empty when nothing is, or when check mode forgives it."""
    report: dict[str, Any] = {"host": host}
    if "layers" not in proof:
        error = str(proof.get("msg", "verify_layers did not run")).strip().removeprefix("Task failed: ")
        unreachable = bool(proof.get("unreachable"))
        report.update(enforced=False, not_enforced=[], error=error, unreachable=unreachable, proof={})
        return report, f"{host} was not reached: {error}" if unreachable else f"nothing was proven on {host}: {error}"
    lacking = table.not_enforced(proof, forgive_unknown=check_mode)
    report.update(
        enforced=not table.not_enforced(proof),
        not_enforced=lacking,
        proof={key: proof[key] for key in _KEPT if key in proof},
    )
    return report, f"required and not enforced on {host}: {', '.join(lacking)}" if lacking else ""
