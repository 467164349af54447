# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what containers used in the stage `log`, and proposes variables that allow it. Documented in modules/report_destinations.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import get_observed_instance
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.settings import (
    LAYER,
    LOG,
    STAGE,
    SWITCH,
    VARIABLES,
    read_egress_settings,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.egress.destinations import Destination, collect_destinations
from ansible_collections.bulkhead.docker.plugins.plugin_utils.egress.proposal import build_proposal, render_missing, render_proposal
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import replace_file, write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import print_lines

PLAN = "__bulkhead_egress_plan"
PROPOSAL = "destinations.yml"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("report_dir",))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(argument_spec={"report_dir": {"type": "str", "default": "reports"}})
        folder, variables = Path(args["report_dir"]), task_vars or {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        desired: dict[str, Mapping[str, Any]] = {}
        missing: dict[str, list[Destination]] = {}
        result.update(changed=False, hosts={}, file="", missing={})
        try:
            for host in variables.get("ansible_play_hosts_all", ()):
                plan = json.loads(json.dumps(variables["hostvars"][host].get(PLAN) or {}, default=str))
                problem, unreached = _find_problem(plan), bool(plan.get("unreachable"))
                result["hosts"][host] = {"problem": problem, "unreached": unreached}
                if problem:
                    continue
                desired[host] = {name: plan["desired"][name] for name in VARIABLES}
                path = folder / f"destinations-{host}.json"
                answer, instance = plan["observed"][LAYER], get_observed_instance(plan["observed"])
                uid = instance.uid if instance.rootless else None
                found = collect_destinations(read_egress_settings(plan["desired"]), answer, _read_former(path), now, uid)
                missing[host] = found.missing
                result["warnings"] = [*result.get("warnings", ()), *(f"{host}: {text}" for text in found.warnings)]
                write_report(path, {"host": host, "destinations": [each.as_dict() for each in found.destinations]})
            if proposal := build_proposal(desired, missing):
                replace_file(folder / PROPOSAL, render_proposal(proposal))
                result["file"] = str(folder / PROPOSAL)
        except OSError as error:
            return {
                **result,
                "failed": True,
                "msg": f"{folder}: cannot be written ({error}); write the path of a folder in bulkhead_report_dir",
            }
        result["missing"] = {host: [each.as_dict() for each in found] for host, found in missing.items()}
        lines = render_missing(missing)
        end = f"{result['file']} allows them" if proposal else "The variables allow all that containers used."
        print_lines(self._display, [*lines, (end, None)])
        return result


def _find_problem(plan: Mapping[str, Any]) -> str:
    """Return why nothing is known of a host; empty if its destinations are."""
    if plan.get("failed") or plan.get("unreachable") or not plan:
        return str(plan.get("msg") or "the layer egress was not planned; run without tags")
    for name, needed in ((SWITCH, ("optional", "required")), (STAGE, (LOG,))):
        if (value := plan["desired"][name]) not in needed:
            return f"{name}: {value} records nothing; write {needed[0]}, and run harden.yml --tags egress"
    answer = plan["observed"].get(LAYER) or {}
    if not answer.get("table"):
        return "the kernel has no egress rules; run harden.yml --tags egress"
    return ""


def _read_former(path: Path) -> list[Destination]:
    """Return what an earlier run kept. Raises OSError."""
    try:
        return [Destination.from_dict(each) for each in json.loads(path.read_text(encoding="utf-8"))["destinations"]]
    except FileNotFoundError:
        return []
    except (ValueError, LookupError, TypeError) as error:
        raise OSError(f"{path} is not a report of destinations: {error}") from error
