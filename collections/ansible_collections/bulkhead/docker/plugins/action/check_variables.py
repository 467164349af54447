# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fails if an extra variable of this run has a former or an unknown name. Documented in modules/check_variables.py."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.bulkhead.docker.plugins.plugin_utils.renamed_variables import find_problems


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        result["changed"] = False
        # ansible-playbook has read and cached them before it started this worker.
        problems = find_problems(load_extra_vars(self._loader))
        if problems:
            result.update(failed=True, msg="Nothing was changed. " + "; ".join(problems), problems=problems)
        return result
