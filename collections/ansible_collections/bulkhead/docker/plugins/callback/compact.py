# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: compact
type: stdout
short_description: Ansible's default output for a few hosts; progress, failing hosts and a summary for many
version_added: 0.1.0
description:
  - A play of up to 20 hosts looks as with P(ansible.builtin.default#callback).
  - In a play of more hosts, only a host that fails or is not reached prints a line of its own. A task says every few seconds how far it has come, and at
    its end how many hosts it has changed; one that changed none is not mentioned. The recap counts.
  - C(-e bulkhead_show=all) brings back a line a host, C(-e bulkhead_show=failing) is calm with few hosts too.
  - When a rollout (C(harden.yml)) ends with its last host no longer reached, so that no task could say so, its end is told here.
  - What a plan refuses is said in its own words, without all that was observed of the host; C(-v) shows that too.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  progress_seconds:
    description: How often a task says how far it has come.
    type: int
    default: 5
    ini:
      - section: callback_calm
        key: progress_seconds
    env:
      - name: ANSIBLE_CALM_PROGRESS_SECONDS
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set C(stdout_callback = bulkhead.docker.compact) in ansible.cfg
"""

import os
import time
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as Default
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.text import visible
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import batch, files
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import of_process
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import chosen, show

_COUNTED = {"changed": "changed", "failures": "failed", "unreachable": "unreachable"}


class Progress:
    """How far a task has come over the hosts of a play. Pure."""

    def __init__(self, hosts: int, seconds: float, now: float) -> None:
        self.hosts, self.seconds, self.said = hosts, seconds, now
        self.counts = {"ok": 0, "changed": 0, "failed": 0, "unreachable": 0}
        self.last = ""

    def count(self, what: str, now: float) -> str:
        """One host more; the line to print, empty when it is not time for one."""
        self.counts[what] += 1
        if now - self.said < self.seconds:
            return ""
        self.said, self.last = now, self.line()
        return self.last

    def end(self) -> str:
        """The line to print when the task is over: of one that has something to tell, and has not just told it."""
        told = self.last or any(number for what, number in self.counts.items() if what != "ok")
        return self.line() if told and self.line() != self.last else ""

    def line(self) -> str:
        besides = "".join(f", {number} {what}" for what, number in self.counts.items() if number and what != "ok")
        return f"    {sum(self.counts.values())} of {self.hosts} hosts{besides}"


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "bulkhead.docker.compact"

    def __init__(self) -> None:
        super().__init__()
        self._hosts = 0
        self._calm = False
        self._was_calm = False
        self._progress = Progress(0, 0, 0)
        self._task: Any = None
        self._seen: dict[str, None] = {}
        self._rollout: tuple[str, str] | None = None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._end_task()
        variables = play.get_variable_manager().get_vars(play=play)
        everybody = variables.get("ansible_play_hosts_all", ())
        self._hosts = len(variables.get("ansible_play_batch", everybody))
        self._calm = chosen(variables.get("bulkhead_show", "auto"), len(everybody)) == "failing"
        self._was_calm = self._was_calm or self._calm
        self._seen.update(dict.fromkeys(everybody))
        if everybody and "__bulkhead_batch_name" in variables:
            self._rollout = (str(variables["__bulkhead_batch_name"]), str(variables.get("bulkhead_report_dir", "reports")))
        super().v2_playbook_on_play_start(play)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._begin_task(task)
        super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._begin_task(task)
        super().v2_playbook_on_handler_task_start(task)

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        """The task's banner; of many hosts it waits until there is something to say below it."""
        if not self._calm:
            super()._task_start(task, prefix)
            return
        self._task_type_cache[task._uuid] = prefix
        self._last_task_name = task.get_name().strip()

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if not self._calm:
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if not self._calm:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        if not self._calm:
            super().v2_runner_on_ok(result)
        self._count("changed" if result.result.get("changed") else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        if not self._calm:
            super().v2_runner_on_skipped(result)
        self._count("ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        refused = "blockers" in result.result and not self._display.verbosity
        if not self._calm and not refused:
            super().v2_runner_on_failed(result, ignore_errors=ignore_errors)
        elif not ignore_errors:
            self._complain("failed", result)
        self._count("failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if not self._calm:
            super().v2_runner_on_unreachable(result)
        elif not result.task.ignore_unreachable:
            self._complain("unreachable", result)
        self._count("unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end_task()
        self._tell_of_lost(stats)
        if not self._was_calm:
            super().v2_playbook_on_stats(stats)
            return
        summaries = [stats.summarize(host) for host in stats.processed]
        wrong = sum(bool(summary["failures"] or summary["unreachable"]) for summary in summaries)
        numbers = ", ".join(f"{sum(bool(summary[key]) for summary in summaries)} {word}" for key, word in _COUNTED.items())
        self._display.banner("PLAY RECAP")
        color = constants.COLOR_ERROR if wrong else constants.COLOR_OK
        self._display.display(f"{len(summaries)} hosts: {len(summaries) - wrong} ok, {numbers}", color=color)

    def _complain(self, what: str, result: Any) -> None:
        text = str(result.result.get("msg", "no message"))
        lines = [" ".join(text.split())] if self._calm else text.splitlines() or [""]  # of many hosts, one line each
        lines[0] = f"{what}: [{result.host.get_name()}]: {lines[0]}"
        self._show_banner()
        for line in lines:
            self._display.display(visible(line), color=constants.COLOR_ERROR, stderr=self.get_option("display_failed_stderr"))

    def _begin_task(self, task: Any) -> None:
        self._end_task()
        self._task, self._progress = task, Progress(self._hosts, self.get_option("progress_seconds"), time.monotonic())

    def _end_task(self) -> None:
        if self._calm and self._task:
            self._say(self._progress.end())
        self._task = None

    def _count(self, what: str) -> None:
        if self._task and not self._task.run_once:
            line = self._progress.count(what, time.monotonic())
            if self._calm:
                self._say(line)

    def _say(self, line: str) -> None:
        if line:
            self._show_banner()
            self._display.display(line)

    def _show_banner(self) -> None:
        if self._task and self._last_task_banner != self._task._uuid:
            self._print_task_banner(self._task)

    def _tell_of_lost(self, stats: Any) -> None:
        """Ansible drops a host that it does not reach; when that was the last of its batch, no task is left to say how it ended."""
        if not self._rollout or not stats.dark:
            return
        name, folder = self._rollout
        try:
            done = files.come_to(Path(folder), self._seen, of_process(os.getpid()))
        except (OSError, ValueError) as error:
            self._display.warning(f"how the rollout ended can't be told: {error}")
            return
        if done.lost:
            show(self._display, batch.lines(name, done, folder))
