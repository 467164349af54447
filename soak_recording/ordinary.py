# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets services do ordinary work while the kernel counts denials, and reports which denials count as new after a learning time."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab.progress import say
from services import data
from soak_recording.machine import SoakMachine, build_job

_DAY = 86400.0


def measure_ordinary_work(machine: SoakMachine, services: Sequence[data.TableService], minutes: float, learning: float) -> dict[str, Any]:
    """Return the new denials of services that work for some minutes, and what they did meanwhile.

    learning: minutes before that in which every denial is usual. The playbook itself learns, for that time instead of its days.
    """
    machine.run_playbook("count_denials")
    for service in services:
        _start(machine, service)
    since = float(machine.run("date +%s.%N"))
    machine.run_playbook("verify")  # its report says which services exist
    # A day: nothing is new while the services are learned.
    began_learning = _report(machine, since, 1.0)["at"]
    found: dict[str, Any] = {"learned": _work(machine, services, learning, since, 1.0), "learning": learning, "minutes": 0.0}
    days = (found["learned"]["at"] - began_learning) / _DAY
    found["rounds"], began = [], time.monotonic()
    while (done := (time.monotonic() - began) / 60) < minutes:
        # A denial is new for as long as a service is learned, so each of them is in a report.
        found["rounds"].append(_work(machine, services, min(learning / 2, minutes - done), since, days))
        found["minutes"] = round((time.monotonic() - began) / 60, 1)
        say(f"ordinary work, {found['minutes']} minutes: {found['rounds'][-1]}")
    for service in services:
        machine.run(f"docker rm -f -v {service.container} >/dev/null 2>&1; docker rmi {_name_image(service)} >/dev/null 2>&1 || true")
    machine.run_playbook("count_denials", "-e", "denial_counters_state=absent")  # the part cost measures the recorder alone
    return found


def _start(machine: SoakMachine, service: data.TableService) -> None:
    """Start a service under an image name of its own. By the name, the playbook tells services apart."""
    job = build_job(service, machine.setting)
    command = ["docker", "run", "--detach", "--name", job["container"], *job["options"], _name_image(service), *job["command"]]
    machine.run(
        f"docker rm -f {job['container']} >/dev/null 2>&1; docker tag {job['image']} {_name_image(service)} && {shlex.join(command)}"
    )


def _name_image(service: data.TableService) -> str:
    return f"ordinary/{service.name}:1"


def _work(machine: SoakMachine, services: Sequence[data.TableService], minutes: float, since: float, days: float) -> dict[str, Any]:
    """Return what the services did for some minutes, and the denials in the report after that."""
    done = machine.run_jobs("ordinary.py", [build_job(each, machine.setting, seconds=60 * minutes) for each in services])
    return {"services": done, **summarize_report(_report(machine, since, days))}


def _report(machine: SoakMachine, since: float, days: float) -> dict[str, Any]:
    machine.run_playbook("denials", "-e", f"bulkhead_since={since}", "-e", f"bulkhead_usual_days={days}")
    (path,) = (machine.folder / "reports").glob("denials-*.json")
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["denials_info"]
    return report


def summarize_report(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of denials by layer, of different ones, and the new ones. Log gaps of the counters are kept."""
    layers: dict[str, int] = {}
    for entry in info["denials"]:
        layers[entry["layer"]] = layers.get(entry["layer"], 0) + entry["count"]
    return {
        "at": info["at"],
        "different": len(info["denials"]),
        "layers": layers,
        "new": [_describe(entry) for entry in info["denials"] if entry["new"] and entry["denied"]],
        "gaps": [gap["text"] for gap in info["gaps"] if gap["source"] == "counters"],
    }


def list_problems(found: Mapping[str, Any]) -> Iterable[str]:
    """Yield what differs from what is promised: no new denial, no service that fails, and something that was denied at all."""
    for part in (found["learned"], *found["rounds"]):
        yield from (f"{each['service']}: {each['problem']}" for each in part["services"] if each["problem"])
        yield from (f"the counters have a gap: {text}" for text in part["gaps"])
    yield from (
        f"new after {found['learning']:g} minutes: {text}" for text in dict.fromkeys(t for part in found["rounds"] for t in part["new"])
    )
    if not any(part["layers"] for part in found["rounds"]):
        yield "no denial was counted at all, so the counters do not work"


def _describe(entry: Mapping[str, Any]) -> str:
    name = (entry["container"] or {}).get("name") or entry["scope"]
    return f"{name}: {entry['layer']} {entry['operation']} {entry['detail']} by {entry['comm']} ({entry['by']})"
