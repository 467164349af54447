# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges what hosts recorded, and writes recordings and generated profiles. Documented in modules/report_recordings.py."""

from __future__ import annotations

import json
import os
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
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.settings import read_recording_settings
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.recordings import REPORT
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.text import list_messages
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import choose_shown, print_lines

PLAN, RESULT = "__container_recorder_plan", "__container_recorder_result"
MISSING = "role container_recorder has no result; run without tags"
KEPT = (
    "No recorder was removed, because a part of what they recorded would be lost; correct it, or write bulkhead_record=discard to lose it. "
)
SUFFIXES = (outcomes.PROPOSED, outcomes.OVERRIDE, SUFFIX, outcomes.RECORDING)


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("check", "folder", "keep", "report_dir", "show"))
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        unused, args = self.validate_argument_spec(
            argument_spec={
                "check": {"type": "bool", "default": False},
                "folder": {"type": "path", "default": "recordings"},
                "keep": {"type": "bool", "default": False},
                "report_dir": {"type": "str", "default": "reports"},
                "show": {"type": "str", "default": "auto", "choices": ["auto", "all", "failing"]},
            }
        )
        folder, variables = Path(args["folder"]), task_vars or {}
        hosts = {host: variables["hostvars"][host] for host in variables.get("ansible_play_hosts_all", ())}
        recorded, result["hosts"] = _collect_recorded(hosts)
        desired = {
            host: _convert_plain(plan["desired"])
            for host, own in hosts.items()
            if (plan := own.get(PLAN)) and not plan.get("failed") and plan.get("desired")
        }
        settings = read_recording_settings(desired)
        former, problems = _read_files(folder)
        problems = [
            *settings.problems,
            *problems,
            *filter(None, (_explain_unwritable(folder), _explain_unwritable(Path(args["report_dir"])))),
        ]
        recordings = {service: texts[outcomes.RECORDING] for service, texts in former.items() if outcomes.RECORDING in texts}
        if args["check"]:
            problems += outcomes.find_recording_problems(recordings)
        if problems:
            return _fail(result, problems, "Nothing was changed. " if args["check"] else "Nothing was written. ", args["keep"])
        if args["check"]:
            return {**result, "changed": False, "problems": []}
        generated = {service: texts[SUFFIX] for service, texts in former.items() if SUFFIX in texts}
        overridden = [service for service, texts in former.items() if outcomes.OVERRIDE in texts]
        inventory = _read_inventory(desired.values())
        built, problems = outcomes.build_outcomes(recorded, recordings, generated, settings, inventory, time.time(), overridden)
        changed = {
            (each.service, suffix): text
            for each in built
            for suffix, text in each.texts.items()
            if former.get(each.service, {}).get(suffix) != text
        }
        result["diff"] = [
            {
                "before": former.get(service, {}).get(suffix, ""),
                "after": text,
                "before_header": str(folder / f"{service}{suffix}"),
                "after_header": str(folder / f"{service}{suffix}"),
            }
            for (service, suffix), text in changed.items()
        ]
        summaries = [summarize(each) for each in built]
        if not self._task.check_mode:
            try:
                for (service, suffix), text in changed.items():
                    replace_file(folder / f"{service}{suffix}", text)
                write_report(Path(args["report_dir"]) / REPORT, {"services": summaries, "problems": problems})
            except OSError as error:
                return _fail(result, [f"the recordings cannot be written: {error}"], keep=args["keep"])
        if args["keep"]:
            result["changed"] = bool(changed)
            return _fail(result, problems, keep=True) if problems else result
        print_lines(self._display, render_services(built, former, choose_shown(args["show"], len(built)) == "all"))
        services = [
            {
                **{key: summary[key] for key in ("service", "stage", "passed", "missing", "calls")},
                "files": [str(folder / f"{service}{suffix}") for service, suffix in changed if service == summary["service"]],
            }
            for summary in summaries
        ]
        result.update(changed=bool(changed), services=services, problems=problems)
        result["warnings"] = [*result.get("warnings", ()), *(each.warning for each in built if each.warning)]
        failures = [each.failure for each in built if each.failure]
        return _fail(result, [*problems, *failures]) if problems or failures else result


def _convert_plain(value: Any) -> Any:
    """Return a value of Ansible as plain types: its own ones carry tags, and YAML cannot write them."""
    return json.loads(json.dumps(value, default=str))


def _collect_recorded(hosts: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Mapping[str, Any]], dict[str, dict[str, Any]]]:
    """Return what each host recorded, and for each host what `require_layers` reads: its problem, and whether it was not reached."""
    recorded: dict[str, Mapping[str, Any]] = {}
    answers = {}
    for host, own in hosts.items():
        plan = own.get(PLAN) or {}
        # Without a plan, the tasks after it have only errors that follow from this one.
        result = plan if plan.get("failed") else own.get(RESULT) or {"failed": True, "msg": MISSING}
        if result.get("recorded"):
            recorded[host] = _convert_plain(result["recorded"])
        wrong = result.get("failed") or result.get("unreachable")
        answers[host] = {"problem": str(result.get("msg", "it failed")) if wrong else "", "unreached": bool(result.get("unreachable"))}
    return recorded, answers


def _read_files(folder: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the files of the folder (service -> end of the name -> text), and one message per file that cannot be read."""
    found: dict[str, dict[str, str]] = {}
    problems = []
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(outcomes.RECORDING) and not path.name.startswith("."))
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{folder}: cannot be read ({error.strerror}); write the path of a folder in bulkhead_recordings"]
    for path in paths:
        suffix = next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))
        try:
            found.setdefault(path.name.removesuffix(suffix), {})[suffix] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            problems.append(f"{path}: is not UTF-8 text; restore the file from version control, or remove it")
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror}); correct its permissions, or remove it")
    return found, problems


def _explain_unwritable(folder: Path) -> str:
    """Return why no file can be written to a folder, which need not exist yet; empty if nothing is in the way."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        return f"{folder}: cannot be written, because {nearest} is not a folder; write the path of a folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return (
            f"{folder}: cannot be written, because {nearest} is not writable; correct its permissions, or write the path of another folder"
        )
    return ""


def _read_inventory(desired: Iterable[Mapping[str, Any]]) -> outcomes.InventoryProfiles:
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
    return outcomes.InventoryProfiles(
        {name: text for name, text in seccomp.items() if text}, list(apparmor.values()), directory or "/etc/docker/seccomp"
    )


def _fail(result: dict[str, Any], problems: list[str], lead: str = "", keep: bool = False) -> dict[str, Any]:
    """Return the result as a failure with the problems. keep: whether recorders were to be removed next."""
    lead += KEPT if keep else ""
    return {**result, "failed": True, "problems": problems, "msg": f"{lead}{list_messages(problems, 'problems')}"}
