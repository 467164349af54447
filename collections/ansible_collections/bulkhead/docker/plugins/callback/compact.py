# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: compact
type: stdout
short_description: Ansible's default output for a few hosts; progress, failing hosts and a summary for many
version_added: 0.1.0
description:
  - For a play of up to 20 hosts, prints the same as P(ansible.builtin.default#callback).
  - For more hosts, prints one line per host that fails or is unreachable. Every few seconds, it prints how many hosts of the task are done, and at the end
    how many it changed. Tasks that change no host are not shown. The recap contains counts.
  - Does not show skipped tasks, whatever C(display_skipped_hosts) says; C(-v) shows them.
  - C(-e bulkhead_show=all) prints one line per host for any number of hosts, C(-e bulkhead_show=failing) is compact for few hosts too.
  - Reports the end of a rollout (C(harden.yml)) whose last host became unreachable, because no task is left to report it.
  - Shows the blockers of a plan without the observation of the host; C(-v) shows that too.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  progress_seconds:
    description: Seconds between two lines of progress.
    type: int
    default: 5
    ini:
      - section: callback_compact
        key: progress_seconds
    env:
      - name: ANSIBLE_COMPACT_PROGRESS_SECONDS
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
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.text import escape_hidden
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import batch, files
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run import get_process_run_id
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import choose_shown, print_lines

_COUNTED = {"changed": "changed", "failures": "failed", "unreachable": "unreachable"}


class TaskProgress:
    """Counts the results of a task over the hosts of a play. Pure."""

    def __init__(self, hosts: int, seconds: float, now: float) -> None:
        self.hosts, self.seconds, self.printed = hosts, seconds, now
        self.counts = {"ok": 0, "changed": 0, "failed": 0, "unreachable": 0}
        self.last = ""

    def count(self, what: str, now: float) -> str:
        """Count the result of one host. Returns the line to print; empty before `seconds` have passed."""
        self.counts[what] += 1
        if now - self.printed < self.seconds:
            return ""
        self.printed, self.last = now, self.render()
        return self.last

    def finish(self) -> str:
        """Return the task's last line; empty if it is printed already, or if all hosts are ok and no line was printed."""
        visible = self.last or any(number for what, number in self.counts.items() if what != "ok")
        return self.render() if visible and self.render() != self.last else ""

    def render(self) -> str:
        others = "".join(f", {number} {what}" for what, number in self.counts.items() if number and what != "ok")
        return f"    {sum(self.counts.values())} of {self.hosts} hosts{others}"


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "bulkhead.docker.compact"
    _last_task_name: str | None

    def __init__(self) -> None:
        super().__init__()
        self._hosts = 0
        self._compact = False
        self._was_compact = False
        self._progress = TaskProgress(0, 0, 0)
        self._task: Any = None
        self._all_hosts: dict[str, None] = {}
        self._rollout: tuple[str, str] | None = None

    def get_option(self, k: str, hostvars: Any = None) -> Any:
        """Return the option `k` of the default callback, with skipped tasks hidden unless the run is verbose."""
        if k == "display_skipped_hosts" and not self._display.verbosity:
            return False
        return super().get_option(k, hostvars)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._end_task()
        variables = play.get_variable_manager().get_vars(play=play)
        hosts = variables.get("ansible_play_hosts_all", ())
        self._hosts = len(variables.get("ansible_play_batch", hosts))
        self._compact = choose_shown(variables.get("bulkhead_show", "auto"), len(hosts)) == "failing"
        self._was_compact = self._was_compact or self._compact
        self._all_hosts.update(dict.fromkeys(hosts))
        if hosts and "__bulkhead_batch_name" in variables:
            self._rollout = (str(variables["__bulkhead_batch_name"]), str(variables.get("bulkhead_report_dir", "reports")))
        super().v2_playbook_on_play_start(play)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._start_task(task)
        super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._start_task(task)
        super().v2_playbook_on_handler_task_start(task)

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        """Print the task's heading. In compact output, or if a condition may skip the task, it waits for the first line below it."""
        if not self._compact:
            super()._task_start(task, prefix)
            if self._last_task_name is not None and not task.when:
                self._show_banner()
            return
        self._task_type_cache[task._uuid] = prefix
        self._last_task_name = task.get_name().strip()

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if not self._compact:
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if not self._compact:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        if not self._compact:
            super().v2_runner_on_ok(result)
        self._count("changed" if result.result.get("changed") else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        if not self._compact:
            super().v2_runner_on_skipped(result)
        self._count("ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        blocked = "blockers" in result.result and not self._display.verbosity
        if not self._compact and not blocked:
            super().v2_runner_on_failed(result, ignore_errors=ignore_errors)
        elif not ignore_errors:
            self._print_error("failed", result)
        self._count("failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if not self._compact:
            super().v2_runner_on_unreachable(result)
        elif not result.task.ignore_unreachable:
            self._print_error("unreachable", result)
        self._count("unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end_task()
        self._report_lost_hosts(stats)
        if not self._was_compact:
            super().v2_playbook_on_stats(stats)
            return
        summaries = [stats.summarize(host) for host in stats.processed]
        wrong = sum(bool(summary["failures"] or summary["unreachable"]) for summary in summaries)
        numbers = ", ".join(f"{sum(bool(summary[key]) for summary in summaries)} {word}" for key, word in _COUNTED.items())
        self._display.banner("PLAY RECAP")
        color = constants.COLOR_ERROR if wrong else constants.COLOR_OK
        self._display.display(f"{len(summaries)} hosts: {len(summaries) - wrong} ok, {numbers}", color=color)

    def _print_error(self, what: str, result: Any) -> None:
        text = str(result.result.get("msg", "no message"))
        lines = [" ".join(text.split())] if self._compact else text.splitlines() or [""]  # one line per host
        lines[0] = f"{what}: [{result.host.get_name()}]: {lines[0]}"
        self._show_banner()
        for line in lines:
            self._display.display(escape_hidden(line), color=constants.COLOR_ERROR, stderr=self.get_option("display_failed_stderr"))

    def _start_task(self, task: Any) -> None:
        self._end_task()
        self._task, self._progress = task, TaskProgress(self._hosts, self.get_option("progress_seconds"), time.monotonic())

    def _end_task(self) -> None:
        if self._compact and self._task:
            self._print(self._progress.finish())
        self._task = None

    def _count(self, what: str) -> None:
        if self._task and not self._task.run_once:
            line = self._progress.count(what, time.monotonic())
            if self._compact:
                self._print(line)

    def _print(self, line: str) -> None:
        if line:
            self._show_banner()
            self._display.display(line)

    def _show_banner(self) -> None:
        if self._task and self._last_task_banner != self._task._uuid:
            self._print_task_banner(self._task)

    def _report_lost_hosts(self, stats: Any) -> None:
        """Report the end of a rollout whose last host became unreachable: Ansible drops it, and no task is left to do so."""
        if not self._rollout or not stats.dark:
            return
        name, folder = self._rollout
        try:
            progress = files.read_progress(Path(folder), self._all_hosts, get_process_run_id(os.getpid()))
        except (OSError, ValueError) as error:
            self._display.warning(f"the result of the rollout cannot be read: {error}")
            return
        if progress.lost:
            print_lines(self._display, batch.render_batch(name, progress, folder))
