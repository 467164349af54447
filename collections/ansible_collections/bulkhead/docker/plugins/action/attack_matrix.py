# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the module, which plays on by itself, while what it has done is looked at and shown. Documented in modules/attack_matrix.py."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.background import ANSWER, FOLDERS, OWNER, PREFIX, PROGRESS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import print_lines

PAUSE = 5.0
# Longer than the slowest emulated machine takes for all containers.
LONGEST = 1800.0
_RUNS, _DONE, _GONE = "runs", "done", "gone"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        args, name = dict(self._task.args), secrets.token_hex(6)
        if not self._task.check_mode:
            args.setdefault("background", name)
        result.update(self._execute_module(module_name="bulkhead.docker.attack_matrix", module_args=args, task_vars=task_vars))
        if result.get("failed") or result.get("background") != name:
            return result
        return {**result, **self._watch(f"{FOLDERS}/{PREFIX}{name}", (task_vars or {}).get("inventory_hostname", "host"))}

    def _watch(self, folder: str, host: str) -> dict[str, Any]:
        """The module's answer, once it is there. Each look is one command on the host, no module."""
        shown, deadline = 0, time.monotonic() + LONGEST
        while time.monotonic() < deadline:
            time.sleep(PAUSE)
            state, *lines = self._command(_look(folder)).splitlines() or [_GONE]
            if len(lines) > shown:
                print_lines(self._display, [(f"{host}: played {', '.join(lines[shown:])}", "dark gray")])
                shown = len(lines)
            if state == _DONE:
                answer: dict[str, Any] = json.loads(self._command(f"cat {folder}/{ANSWER} && rm -r {folder}"))
                return answer
            if state != _RUNS:
                break
        return {
            "failed": True,
            "msg": "the attacks were not played to their end: the process that played them is gone; the next run clears what it left",
        }

    def _command(self, command: str) -> str:
        answer = self._low_level_execute_command(command)
        if answer["rc"]:
            raise AnsibleActionFail(f"the matrix can't be watched: {answer['stderr'] or answer['stdout']}")
        return str(answer["stdout"])


def _look(folder: str) -> str:
    """A shell command that says how it stands, and then what has been played. A process that is named but not there has been killed."""
    return (
        f"if [ -e {folder}/{ANSWER} ]; then echo {_DONE}; "
        f'elif [ ! -e {folder}/{OWNER} ] || kill -0 "$(cut -d: -f1 {folder}/{OWNER})" 2>/dev/null; then echo {_RUNS}; '
        f"else echo {_GONE}; fi; cat {folder}/{PROGRESS} 2>/dev/null || true"
    )
