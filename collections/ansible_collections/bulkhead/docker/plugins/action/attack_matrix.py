# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module in the background on the host, and shows its progress until it has ended. Documented in modules/attack_matrix.py."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.background import ANSWER, FOLDERS, OWNER, PREFIX, PROGRESS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.module_failure import add_reason
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import print_lines

# Seconds between two checks of the progress.
PAUSE = 5.0
# Seconds. The slowest emulated machine takes less for all containers.
MAX_DURATION = 1800.0
_RUNNING, _DONE, _GONE = "running", "done", "gone"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        args, name = dict(self._task.args), secrets.token_hex(6)
        if not self._task.check_mode:
            args.setdefault("background", name)
        result.update(self._execute_module(module_name="bulkhead.docker.attack_matrix", module_args=args, task_vars=task_vars))
        if result.get("failed") or result.get("background") != name:
            return add_reason(result)
        return {**result, **self._watch(f"{FOLDERS}/{PREFIX}{name}", (task_vars or {}).get("inventory_hostname", "host"))}

    def _watch(self, folder: str, host: str) -> dict[str, Any]:
        """Return the module's result when it has ended. Each check of the progress is one command on the host, not a module run."""
        shown, deadline = 0, time.monotonic() + MAX_DURATION
        while time.monotonic() < deadline:
            time.sleep(PAUSE)
            state, *lines = self._run_command(_build_check(folder)).splitlines() or [_GONE]
            if len(lines) > shown:
                print_lines(self._display, [(f"{host}: completed {', '.join(lines[shown:])}", "dark gray")])
                shown = len(lines)
            if state == _DONE:
                answer: dict[str, Any] = json.loads(self._run_command(f"cat {folder}/{ANSWER} && rm -r {folder}"))
                return answer
            if state != _RUNNING:
                break
        return {
            "failed": True,
            "msg": "the attacks did not end: the process that ran them was killed; the next run removes what it left",
        }

    def _run_command(self, command: str) -> str:
        answer = self._low_level_execute_command(command)
        if answer["rc"]:
            raise AnsibleActionFail(f"the progress of the attacks cannot be read: {answer['stderr'] or answer['stdout']}")
        return str(answer["stdout"])


def _build_check(folder: str) -> str:
    """Return a shell command that prints the state, then the completed configurations. A run whose process (OWNER) does not exist was killed."""
    return (
        f"if [ -e {folder}/{ANSWER} ]; then echo {_DONE}; "
        f'elif [ ! -e {folder}/{OWNER} ] || kill -0 "$(cut -d: -f1 {folder}/{OWNER})" 2>/dev/null; then echo {_RUNNING}; '
        f"else echo {_GONE}; fi; cat {folder}/{PROGRESS} 2>/dev/null || true"
    )
