# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fails if a variable or a tag of this run is unknown, or its value is wrong. Documented in modules/check_variables.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.bulkhead.docker.plugins.module_utils.formatting import format_names
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import SWITCHES
from ansible_collections.bulkhead.docker.plugins.plugin_utils.renamed_variables import find_extra_variable_problems, find_inventory_problem
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.policy import VARIABLES, find_variable_problems
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run_checks import VALUES, find_tag_problems, find_value_problems


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        switches = ("policy", "inventory", "layers")
        unused, args = self.validate_argument_spec(argument_spec={name: {"type": "bool", "default": False} for name in switches})
        variables = task_vars or {}
        result["changed"] = False
        # ansible-playbook has read and cached them before it started this worker.
        problems = find_extra_variable_problems(load_extra_vars(self._loader))
        run, skipped = (variables.get(f"ansible_{kind}_tags", ()) for kind in ("run", "skip"))
        problems += find_tag_problems(run, skipped, self._task.tags, SWITCHES if args["layers"] else ())
        problems += self._find_problems_of_hosts(variables, args["policy"], args["inventory"])
        if problems:
            result.update(failed=True, msg="Nothing was changed. " + "; ".join(problems), problems=problems)
        return result

    def _find_problems_of_hosts(self, variables: Mapping[str, Any], policy: bool, inventory: bool) -> list[str]:
        """Return one message per wrong value or name. If only some hosts have it, the message begins with their names.

        policy: also check its values, and those of each host of the play. inventory: also check the names of the hosts' variables with the
        project's prefix. With neither, one host is enough: the values are those of extra variables.
        """
        hosts = list(variables["ansible_play_hosts_all"]) if policy or inventory else [variables["inventory_hostname"]]
        checks = [(VALUES, find_value_problems), *([(VARIABLES, find_variable_problems)] if policy else [])]
        found: dict[str, list[str]] = {}
        for host in hosts:
            own = variables["hostvars"][host]
            if inventory and (message := find_inventory_problem(own)):
                found.setdefault(message, []).append(host)
            for name, find in ((name, find) for names, find in checks for name in names if name in own):
                try:
                    problems = find({name: own[name]})
                except AnsibleError as error:
                    problems = [f"{name}: cannot be templated: {error}"]
                for problem in problems:
                    found.setdefault(problem, []).append(host)
        return [problem if len(names) == len(hosts) else f"{format_names(names)}: {problem}" for problem, names in found.items()]
