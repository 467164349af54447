# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: calm
type: stdout
short_description: Ansible's default output for a few hosts; progress, failing hosts and a summary for many
version_added: 0.1.0
description:
  - A play of up to 20 hosts looks as with P(ansible.builtin.default#callback).
  - In a play of more hosts, those on which nothing is wrong and nothing changed print no line of their own. Instead a task says every few seconds how far
    it has come. A host that fails or is not reached gets one line, and the recap counts.
  - C(-e show=all) brings back a line a host, C(-e show=failing) is calm with few hosts too.
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
  - set C(stdout_callback = bulkhead.docker.calm) in ansible.cfg
"""

import time
from typing import Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as Default
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.text import visible
from ansible_collections.bulkhead.docker.plugins.plugin_utils.show import chosen

_COUNTED = {"changed": "changed", "failures": "failed", "unreachable": "unreachable"}


class Progress:
    """How far a task has come over the hosts of a play. Pure."""

    def __init__(self, hosts: int, seconds: float, now: float) -> None:
        self.hosts, self.seconds, self.said = hosts, seconds, now
        self.counts = {"ok": 0, "failed": 0, "unreachable": 0}

    def count(self, what: str, now: float) -> str:
        """One host more; the line to print, empty when it is not time for one."""
        self.counts[what] += 1
        if now - self.said < self.seconds:
            return ""
        self.said = now
        return self.line()

    def line(self) -> str:
        wrong = "".join(f", {number} {what}" for what, number in self.counts.items() if number and what != "ok")
        return f"    {sum(self.counts.values())} of {self.hosts} hosts{wrong}"


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "bulkhead.docker.calm"

    def __init__(self) -> None:
        super().__init__()
        self._hosts = 0
        self._calm = False
        self._was_calm = False
        self._progress = Progress(0, 0, 0)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        variables = play.get_variable_manager().get_vars(play=play)
        self._hosts = len(variables.get("ansible_play_hosts_all", ()))
        self._calm = chosen(variables.get("show", "auto"), self._hosts) == "failing"
        self._was_calm = self._was_calm or self._calm
        super().v2_playbook_on_play_start(play)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._progress = Progress(self._hosts, self.get_option("progress_seconds"), time.monotonic())
        super().v2_playbook_on_task_start(task, is_conditional)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if not self._calm:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        if not self._calm or result.result.get("changed"):
            super().v2_runner_on_ok(result)
        self._count("ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        if not self._calm:
            super().v2_runner_on_skipped(result)
        self._count("ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        refused = "refusals" in result.result and not self._display.verbosity
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
        for line in lines:
            self._display.display(visible(line), color=constants.COLOR_ERROR, stderr=self.get_option("display_failed_stderr"))

    def _count(self, what: str) -> None:
        line = self._progress.count(what, time.monotonic())
        if line and self._calm:
            self._display.display(line)
