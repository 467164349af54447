# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the control node. Observes the host only if this run has not observed it yet. Documented in modules/plan_layers.py."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.rootless.plan import find_desired_user
from ansible_collections.bulkhead.docker.plugins.plugin_utils.hardened.written_numbers import find_origin, read_written_number
from ansible_collections.bulkhead.docker.plugins.plugin_utils.module_failure import add_reason
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import daemon_keys
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import plan as planning
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.desired import load_specs, resolve_desired
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.table import render_plan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.text import list_messages
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import print_lines

# Read once in a run, before Ansible forks a process per task.
SPECS = load_specs(Path(__file__).resolve().parents[2] / "roles")
OBSERVED = "bulkhead_observed"
# Module that answers a question of the plan -> what it returns, and the name of the answer in an observation.
ANSWERS = {"observe_data": "data", "observe_certificates": "certificates", "observe_egress": "egress"}
# Seconds. A rollout over a fleet can take hours, and an observation becomes outdated.
MAX_AGE = 900.0


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("layers", "observe", "observed", "refresh", "show"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        unused, args = self.validate_argument_spec(
            argument_spec={
                "layers": {"type": "list", "elements": "str"},
                "observe": {"type": "bool", "default": True},
                "observed": {"type": "dict"},
                "refresh": {"type": "bool", "default": False},
                "show": {"type": "bool", "default": False},
            }
        )
        desired = resolve_desired(SPECS, variables, self._template, _locate, read_written_number)
        desired.values[daemon_keys.DEFAULTS] = {name: SPECS["docker_daemon"][name].get("default") for name in daemon_keys.PLAIN}
        found = planning.add_file_contents(desired.values, self._read_file, read_written_number)
        # A default of the wrong type is reported by its spec already.
        desired.problems += [text for text in found if not any(f"{text.partition(':')[0]}: " in known for known in desired.problems)]
        result.update(expect=planning.build_expectations(desired.values) if not desired.problems else {}, desired=desired.values)
        tags = (variables.get("ansible_run_tags", ()), variables.get("ansible_skip_tags", ()), desired.values)
        selected, of_run = (planning.select_layers(asked, *tags) for asked in (args["layers"], None))
        result["selected"] = sorted(selected)
        if desired.problems:
            return _add_blockers(result, desired.problems)
        # The variable describes the rootful engine; the socket of a rootless one is known.
        result["socket"] = "" if find_desired_user(desired.values) else str(desired.values.get("docker_engine_socket") or "")
        if not args["observe"]:
            return result

        user = find_desired_user(desired.values)
        observed = args["observed"] or self._observe(
            variables, result, args["refresh"], user, result["socket"], str(desired.values["userns_remap_user"])
        )
        if result.get("failed"):
            return result
        if not user and observed["engine"].get("socket") not in (None, ROOTFUL.socket):
            result["socket"] = observed["engine"]["socket"]
        plan = planning.plan_host(observed, desired.values, selected, of_run)
        if plan.questions and not args["observed"]:
            for module, question in plan.questions.items():
                observed = self._ask(variables, result, observed, module, question, user)
                if result.get("failed"):
                    return result
            plan = planning.plan_host(observed, desired.values, selected, of_run)
        result.update(
            layers={name: layer.as_dict() for name, layer in plan.layers.items()},
            has_changes=plan.changed,
            blockers=plan.blockers,
            observed=observed,
            affected=[effect.as_dict() for effect in plan.effects],
            **{kind: [str(text) for text in plan.collect(kind)] for kind in ("warnings", "notices", "effects")},
        )
        if args["show"]:
            print_lines(self._display, render_plan(variables.get("inventory_hostname", "host"), result))
        else:
            for text in result["notices"]:
                self._display.v(text)
        if plan.blockers:
            return _add_blockers(result, plan.blockers)
        if self._task.check_mode:
            result["changed"] = plan.changed
            result["diff"] = [
                {
                    "before": c.before,
                    "after": c.after,
                    "before_header": c.path,
                    "after_header": c.path,
                    "prepared": "" if c.before or c.after else c.summary,
                }
                for layer in plan.layers.values()
                for c in layer.changes
            ]
        return result

    def _observe(
        self, variables: dict[str, Any], result: dict[str, Any], refresh: bool, user: str, socket: str, remap_user: str
    ) -> dict[str, Any]:
        """Return the observation of this run, or observe the host and keep it for the rest of the run. Sets `failed` in result."""
        # The parent is ansible-playbook. Facts from a persistent cache may belong to another run.
        run = os.getppid()
        known = variables.get("ansible_facts", {}).get(OBSERVED)
        if (
            known
            and not refresh
            and (known["run"], known["user"], known["remap_user"]) == (run, user, remap_user)
            and time.time() - known["taken"] < MAX_AGE
        ):
            return dict(known["observed"])
        answer = self._execute_module(
            module_name="bulkhead.docker.observe_layers",
            module_args={name: value for name, value in (("user", user), ("socket", socket), ("remap_user", remap_user)) if value},
            task_vars=variables,
        )
        if answer.get("failed") or "observed" not in answer:
            result.update(add_reason({**answer, "failed": True}))
            return {}
        result["ansible_facts"] = {
            OBSERVED: {"run": run, "user": user, "remap_user": remap_user, "taken": time.time(), "observed": answer["observed"]}
        }
        return dict(answer["observed"])

    def _ask(
        self, variables: dict[str, Any], result: dict[str, Any], observed: dict[str, Any], module: str, question: dict[str, Any], user: str
    ) -> dict[str, Any]:
        """Return the observation with the answer to a question of the plan, and keep it for the rest of the run. Sets `failed` in result."""
        name = ANSWERS[module]
        if (observed.get(name) or {}).get("question") == question:
            return observed
        answer = self._execute_module(module_name=f"bulkhead.docker.{module}", module_args=dict(question), task_vars=variables)
        if answer.get("failed") or name not in answer:
            result.update(add_reason({**answer, "failed": True}))
            return observed
        complete = {**observed, name: {**answer[name], "question": question}}
        known = (result.get("ansible_facts") or variables.get("ansible_facts") or {}).get(OBSERVED) or {}
        remap_user = str(result["desired"]["userns_remap_user"])
        kept = {
            "run": os.getppid(), "user": user, "remap_user": remap_user, "taken": known.get("taken", time.time()), "observed": complete
        }  # fmt: skip
        result["ansible_facts"] = {OBSERVED: kept}
        return complete

    def _template(self, value: Any) -> Any:
        try:
            return self._templar.template(value)
        except AnsibleError as error:
            raise ValueError(str(error)) from error

    def _read_file(self, name: str) -> str:
        """Return the text of a file on the control node: absolute, or searched like the `src` of a copy task."""
        try:
            return Path(self._find_needle("files", name)).read_text(encoding="utf-8")
        except AnsibleError as error:
            raise FileNotFoundError(
                f"{name}: does not exist on the control node; write an absolute path, or put it next to the playbook or in its folder files/"
            ) from error


def _add_blockers(result: dict[str, Any], blockers: list[str]) -> dict[str, Any]:
    """Return the result as a failure with the blockers."""
    result.update(failed=True, blockers=blockers, msg=f"Nothing was changed. {list_messages(blockers, 'blockers')}")
    return result


def _locate(value: Any) -> str:
    """Return where an inventory value was written, as `file:line`; empty if unknown."""
    tag = find_origin(value)
    if tag is None or not tag.path:
        return ""
    return f"{os.path.relpath(tag.path)}:{tag.line_num}" if tag.line_num else str(tag.path)
