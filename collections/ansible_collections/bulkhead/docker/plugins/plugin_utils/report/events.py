# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports of hosts, made again from the events of a run that somebody else started.

ansible-runner keeps a file an event (`artifacts/IDENT/job_events/`), AWX gives the same events as pages of its API. An event of a task on a host has
`event` (runner_on_ok …), `created`, `counter`, and `event_data` with `task_action`, `host` and `res`, what the task returned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..files import write
from . import single

_ENDED = ("runner_on_ok", "runner_on_failed", "runner_on_unreachable")
_OURS = "bulkhead.docker."
_CUT = "the event of its verification was empty: ansible-runner cuts results longer than MAX_EVENT_RES (700000 characters unless set)"


@dataclass
class Told:
    """What the events of one run tell. verify, attack: by host, the report and when it was made. problems: a sentence for each file that is no event."""

    verify: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)
    attack: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def load(path: Path) -> Told:
    """What an artifact folder of ansible-runner, its job_events, or a JSON file of events tells. Raises OSError when there is no such thing."""
    told = Told()
    files = _files(path)
    if not files:
        raise FileNotFoundError(f"{path} holds no events: name an artifact folder of ansible-runner, or a file of events")
    events: list[dict[str, Any]] = []
    for file in files:
        try:
            events += _events(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            told.problems.append(f"{file} holds no event: {error}")
    gather(events, told)
    return told


def take(path: Path, folder: Path) -> list[str]:
    """Write into `folder` what the events under `path` tell, unless what is there is newer; the problems that there were. Raises OSError."""
    told = load(path)
    for kind in ("verify", "attack"):
        for host, (made, report) in getattr(told, kind).items():
            target = folder / f"{kind}-{host}.json"
            if not _newer(target, made):
                write(target, report, made)
    if not told.verify and not told.attack:
        told.problems.append(f"{path} tells of no host: no verify.yml, harden.yml or attack.yml ran to its report there")
    return told.problems


def gather(events: Iterable[Mapping[str, Any]], told: Told) -> None:
    """Go through the events in their order; a host has a report once the task that wrote it has ended. Pure."""
    verifications: dict[str, Mapping[str, Any]] = {}
    matrices: dict[str, Mapping[str, Any]] = {}
    for host, action, event, result, made in _tasks(events):
        if action == "plan_layers":
            # As in tasks/prove.yml: nobody's verification of an earlier play, where this one came to none.
            verifications.pop(host, None)
            if event == "runner_on_failed":
                verifications[host] = {"msg": result.get("msg", "what the inventory wants was refused")}
        elif action == "verify_layers":
            verifications[host] = result or {"msg": _CUT}
        elif action == "report_layers":
            report = single.make(host, verifications.pop(host, {}), check_mode=False)
            # What the run complained of: in check mode that is not all that does not hold.
            report["not_enforced"] = result.get("not_enforced", report["not_enforced"])
            report["problem"] = result.get("problem", report["problem"])
            told.verify[host] = (made, report)
        elif action == "attack_matrix":
            matrices[host] = result or {"msg": _CUT}
        elif action == "report_attacks" and "unmet" in result:
            told.attack[host] = (made, single.attack(host, matrices.pop(host, {}), result.get("required", {}))[0])


def _tasks(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, Mapping[str, Any], datetime]]:
    """Host, action, event, result and time of our own tasks that ended."""
    for event in sorted(events, key=lambda event: event["counter"]):
        data = event.get("event_data") or {}
        action = str(data.get("task_action", ""))
        if event.get("event") not in _ENDED or not action.startswith(_OURS):
            continue
        host = str(data.get("host", ""))
        if not host or "/" in host or host.startswith("."):
            continue  # it is to become the name of a file
        made = datetime.fromisoformat(event["created"]).astimezone(UTC)
        result = data.get("res")
        yield host, action.removeprefix(_OURS), event["event"], result if isinstance(result, dict) else {}, made


def _files(path: Path) -> list[Path]:
    """The files of events; a file that ansible-runner has not finished is none."""
    if path.is_file():
        return [path]
    folder = path / "job_events" if (path / "job_events").is_dir() else path
    return [file for file in sorted(folder.glob("*.json")) if not file.name.endswith("-partial.json")]


def _events(content: Any) -> list[dict[str, Any]]:
    """One event, a list of them, or a page of AWX's API. Raises ValueError."""
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


def _newer(target: Path, made: datetime) -> bool:
    """Whether the folder has a report of that host which was made later."""
    try:
        return datetime.fromisoformat(json.loads(target.read_text(encoding="utf-8"))["written"]) > made
    except (OSError, ValueError, KeyError, TypeError):
        return False
