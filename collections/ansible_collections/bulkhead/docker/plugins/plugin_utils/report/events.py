# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores the reports of hosts from the events of an earlier run, possibly on another control node.

ansible-runner keeps one file per event (`artifacts/IDENT/job_events/`); AWX returns the same events in pages of its API. The event of a task on a host has
`event` (runner_on_ok …), `created`, `counter`, and `event_data` with `task_action`, `host` and `res`, the task's result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..files import write_report
from . import single
from .attack_network import merge_network
from .policy import Policy, load_policy

_ENDED = ("runner_on_ok", "runner_on_failed", "runner_on_unreachable")
_COLLECTION = "bulkhead.docker."
_CUT = "the event of its verification was empty: ansible-runner cuts results longer than MAX_EVENT_RES (700000 characters unless set)"


@dataclass
class RunReports:
    """The reports in the events of one run. verify, attack: by host, the time and the report. problems: one message per file without valid events."""

    verify: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)
    attack: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_events(path: Path) -> RunReports:
    """Return the reports in an artifact folder of ansible-runner, its job_events, or a JSON file of events. Raises OSError if there is no such thing."""
    found = RunReports()
    files = _list_files(path)
    if not files:
        raise FileNotFoundError(f"{path} contains no events: name an artifact folder of ansible-runner, or a file of events")
    events: list[dict[str, Any]] = []
    for file in files:
        try:
            events += _check_events(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            found.problems.append(f"{file} does not contain valid events: {error}")
    collect_reports(events, found)
    return found


def import_events(path: Path, folder: Path) -> list[str]:
    """Write the reports in the events under `path` into `folder`, except over newer ones. Returns the problems. Raises OSError."""
    found = read_events(path)
    for kind in ("verify", "attack"):
        for host, (time, report) in getattr(found, kind).items():
            target = folder / f"{kind}-{host}.json"
            if not _is_newer(target, time):
                write_report(target, report, time)
    if not found.verify and not found.attack:
        found.problems.append(f"{path} contains no result of a host: no verify.yml, harden.yml or attack.yml wrote a report in that run")
    return found.problems


def collect_reports(events: Iterable[Mapping[str, Any]], found: RunReports) -> None:
    """Add the reports in the events to `found`. A host has a report if the task that wrote it has ended. Pure."""
    verifications: dict[str, Mapping[str, Any]] = {}
    matrices: dict[str, Mapping[str, Any]] = {}
    for host, action, event, result, time in _list_tasks(events):
        if action == "plan_layers":
            # As in tasks/verify.yml: the verification of an earlier play does not count if this play has none.
            verifications.pop(host, None)
            if event == "runner_on_failed":
                verifications[host] = {"msg": result.get("msg", "the desired state could not be resolved")}
        elif action == "verify_layers":
            verifications[host] = result or {"msg": _CUT}
        elif action == "report_layers":
            policy, today = _read_policy(result), time.astimezone().date()
            report = single.build_report(host, verifications.pop(host, {}), check_mode=False, policy=policy, today=today)
            # In check mode, the run itself reported less than is not enforced.
            report["not_enforced"] = result.get("not_enforced", report["not_enforced"])
            report["problem"] = result.get("problem", report["problem"])
            found.verify[host] = (time, report)
        elif action == "attack_matrix":
            matrices[host] = result or {"msg": _CUT}
        elif action == "network_attacks":
            matrices[host] = merge_network(matrices.get(host, {}), result or {"msg": _CUT})
        elif action == "report_attacks" and "unmet" in result:
            found.attack[host] = (time, single.build_attack_report(host, matrices.pop(host, {}), result.get("required", {}))[0])


def _list_tasks(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, Mapping[str, Any], datetime]]:
    """Yield host, action, event, result and time of each ended task of this collection."""
    for event in sorted(events, key=lambda event: event["counter"]):
        data = event.get("event_data") or {}
        action = str(data.get("task_action", ""))
        if event.get("event") not in _ENDED or not action.startswith(_COLLECTION):
            continue
        host = str(data.get("host", ""))
        if not host or "/" in host or host.startswith("."):
            continue  # not usable in the name of a file
        time = datetime.fromisoformat(event["created"]).astimezone(UTC)
        result = data.get("res")
        yield host, action.removeprefix(_COLLECTION), event["event"], result if isinstance(result, dict) else {}, time


def _read_policy(result: Mapping[str, Any]) -> Policy:
    """Return the policy of the run; the default one if its events have none."""
    try:
        return load_policy(result.get("policy"))
    except ValueError:
        return Policy()


def _list_files(path: Path) -> list[Path]:
    """Return the files of events, without those that ansible-runner has not finished."""
    if path.is_file():
        return [path]
    folder = path / "job_events" if (path / "job_events").is_dir() else path
    return [file for file in sorted(folder.glob("*.json")) if not file.name.endswith("-partial.json")]


def _check_events(content: Any) -> list[dict[str, Any]]:
    """Return the events of an event, a list of them, or a page of AWX's API. Raises ValueError."""
    if isinstance(content, dict):
        content = content["results"] if isinstance(content.get("results"), list) else [content]
    if not isinstance(content, list) or not all(isinstance(event, dict) and "event" in event for event in content):
        raise ValueError("neither an event, nor a list of events, nor a page of them")
    for event in content:
        if not isinstance(event.get("event_data") or {}, dict):
            raise ValueError("event_data is not a mapping")
        if not isinstance(event.get("counter"), int) or not isinstance(event.get("created"), str):
            raise ValueError("no counter, or no time created")
        datetime.fromisoformat(event["created"])
    return content


def _is_newer(target: Path, time: datetime) -> bool:
    """Return whether the file is a report that was written later."""
    try:
        return datetime.fromisoformat(json.loads(target.read_text(encoding="utf-8"))["written"]) > time
    except (OSError, ValueError, KeyError, TypeError):
        return False
