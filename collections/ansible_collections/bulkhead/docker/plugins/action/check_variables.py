# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fails if a variable of this run has a former or an unknown name, or the policy is wrong. Documented in modules/check_variables.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.bulkhead.docker.plugins.plugin_utils.renamed_variables import find_problems
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.policy import VARIABLES, find_variable_problems
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.text import list_names


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(argument_spec={"policy": {"type": "bool", "default": False}})
        result["changed"] = False
        # ansible-playbook has read and cached them before it started this worker.
        problems = find_problems(load_extra_vars(self._loader))
        if args["policy"]:
            problems += self._find_policy_problems(task_vars or {})
        if problems:
            result.update(failed=True, msg="Nothing was changed. " + "; ".join(problems), problems=problems)
        return result

    def _find_policy_problems(self, variables: Mapping[str, Any]) -> list[str]:
        """Return one message per wrong value of the policy of any host of the play, with the hosts if the others have no such value."""
        hosts = list(variables.get("ansible_play_hosts_all", ()))
        found: dict[str, list[str]] = {}
        for host in hosts:
            own = variables["hostvars"][host]
            for name in (name for name in VARIABLES if name in own):
                try:
                    problems = find_variable_problems({name: own[name]})
                except AnsibleError as error:
                    problems = [f"{name}: cannot be templated: {error}"]
                for problem in problems:
                    found.setdefault(problem, []).append(host)
        return [problem if len(names) == len(hosts) else f"{list_names(names)}: {problem}" for problem, names in found.items()]
