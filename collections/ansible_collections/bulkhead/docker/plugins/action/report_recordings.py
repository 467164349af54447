# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges what hosts recorded, and writes recordings and generated profiles. Documented in modules/report_recordings.py."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.desired import DIRECTORY, read_seccomp_profiles
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import replace_file, write_report
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording import outcome as outcomes
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generated import SUFFIX
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.overview import render_services, summarize
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.settings import read_settings
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.recordings import REPORT
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import choose_shown, print_lines

PLAN, RESULT = "__container_recorder_plan", "__container_recorder_result"
SUFFIXES = (outcomes.PROPOSED, outcomes.OVERRIDE, SUFFIX, outcomes.RECORDING)


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("folder", "report_dir", "show"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path", "default": "recordings"},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "str", "default": "auto", "choices": ["auto", "all", "failing"]},
            }
        )
        folder, variables = Path(args["folder"]), task_vars or {}
        hosts = {host: variables["hostvars"][host] for host in variables.get("ansible_play_hosts_all", ())}
        recorded, result["hosts"] = _collect_recorded(hosts)
        desired = {host: _convert_plain(plan["desired"]) for host, own in hosts.items() if (plan := own.get(PLAN)) and plan.get("desired")}
        settings = read_settings(desired)
        if settings.problems:
            return _fail(result, settings.problems, "Nothing was written. ")
        try:
            former = _read_files(folder)
        except OSError as error:
            return _fail(result, [f"{folder}: cannot be read: {error}"], "Nothing was written. ")
        recordings = {service: texts[outcomes.RECORDING] for service, texts in former.items() if outcomes.RECORDING in texts}
        built, problems = outcomes.build_outcomes(recorded, recordings, settings, _read_inventory(desired.values()), time.time())
        changed = {
            folder / f"{each.service}{suffix}": text
            for each in built
            for suffix, text in each.texts.items()
            if former.get(each.service, {}).get(suffix) != text
        }
        result["diff"] = [
            {
                "before": path.read_text(encoding="utf-8") if path.exists() else "",
                "after": text,
                "before_header": str(path),
                "after_header": str(path),
            }
            for path, text in changed.items()
        ]
        if not self._task.check_mode:
            try:
                for path, text in changed.items():
                    replace_file(path, text)
                write_report(Path(args["report_dir"]) / REPORT, {"services": [summarize(each) for each in built], "problems": problems})
            except OSError as error:
                return _fail(result, [f"the recordings cannot be written: {error}"])
        print_lines(self._display, render_services(built, former, choose_shown(args["show"], len(built)) == "all"))
        services = [
            {
                **{key: value for key, value in summarize(each).items() if key in ("service", "stage", "passed", "missing", "calls")},
                "files": [str(path) for path in changed if path.name.startswith(f"{each.service}.")],
            }
            for each in built
        ]
        result.update(changed=bool(changed), services=services, problems=problems)
        refused = [each.failure for each in built if each.failure]
        return _fail(result, [*problems, *refused]) if problems or refused else result


def _convert_plain(value: Any) -> Any:
    """Return a value of Ansible as plain types: its own ones carry tags, and YAML cannot write them."""
    return json.loads(json.dumps(value, default=str))


def _collect_recorded(hosts: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Mapping[str, Any]], dict[str, dict[str, Any]]]:
    """Return what each host recorded, and for each host what `require_layers` reads: its problem, and whether it was not reached."""
    recorded: dict[str, Mapping[str, Any]] = {}
    answers = {}
    for host, own in hosts.items():
        result = own.get(RESULT) or own.get(PLAN) or {"failed": True, "msg": "role container_recorder has no result; run without tags"}
        if result.get("recorded"):
            recorded[host] = result["recorded"]
        wrong = result.get("failed") or result.get("unreachable")
        answers[host] = {"problem": str(result.get("msg", "it failed")) if wrong else "", "unreached": bool(result.get("unreachable"))}
    return recorded, answers


def _read_files(folder: Path) -> dict[str, dict[str, str]]:
    """Return the files of the folder: service -> end of the name -> text. Raises OSError."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("*.yml")) if folder.is_dir() else ():
        suffix = next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))
        found.setdefault(path.name.removesuffix(suffix), {})[suffix] = path.read_text(encoding="utf-8", errors="surrogateescape")
    return found


def _read_inventory(desired: Iterable[Mapping[str, Any]]) -> outcomes.Inventory:
    """Return the profiles of all hosts; of two texts under one name, the first."""
    seccomp: dict[str, str] = {}
    apparmor: dict[str, Mapping[str, Any]] = {}
    directory = ""
    for values in desired:
        for profile in read_seccomp_profiles(values).profiles:
            seccomp.setdefault(profile.name, profile.text)
        for entry in values.get("apparmor_profiles_list") or []:
            apparmor.setdefault(entry["name"], entry)
        directory = directory or values[DIRECTORY]
    return outcomes.Inventory(
        {name: text for name, text in seccomp.items() if text}, list(apparmor.values()), directory or "/etc/docker/seccomp"
    )


def _fail(result: dict[str, Any], problems: list[str], lead: str = "") -> dict[str, Any]:
    """Return the result as a failure with the problems."""
    text = problems[0] if len(problems) == 1 else f"{len(problems)} problems:\n" + "\n".join(f"- {problem}" for problem in problems)
    return {**result, "failed": True, "problems": problems, "msg": f"{lead}{text}"}
