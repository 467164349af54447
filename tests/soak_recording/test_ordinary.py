# SPDX-License-Identifier: GPL-3.0-or-later
"""A new denial, a gap of the counters, a service that fails, and silence are problems; usual denials are none."""

from __future__ import annotations

from typing import Any

from services import data
from soak_recording.__main__ import ORDINARY
from soak_recording.ordinary import list_problems, summarize_report


def entry(new: bool, denied: bool = True) -> dict[str, Any]:
    return {
        "layer": "seccomp", "operation": "keyctl", "detail": "errno=EPERM", "comm": "java", "by": "counters", "count": 3, "new": new,
        "denied": denied, "scope": "container", "container": {"name": "service-java"},
    }  # fmt: skip


def run(*entries: dict[str, Any], gaps: tuple[str, ...] = (), problem: str = "") -> list[str]:
    info = {"at": 9.0, "denials": entries, "gaps": [{"source": source, "text": "full"} for source in gaps]}
    part = {**summarize_report(info), "services": [{"service": "java", "problem": problem}]}
    learned = {**summarize_report({"at": 5.0, "denials": [entry(True)], "gaps": []}), "services": []}
    return list(list_problems({"learned": learned, "rounds": [part, part], "learning": 10.0}))


def test_only_new_denials_are_problems() -> None:
    assert run(entry(False)) == []
    assert run(entry(False), entry(True, denied=False), gaps=("journal",)) == []
    assert run(entry(True)) == ["new after 10 minutes: service-java: seccomp keyctl errno=EPERM by java (counters)"]


def test_a_run_that_shows_nothing_is_a_problem() -> None:
    assert run() == ["no denial was counted at all, so the counters do not work"]
    assert "the counters have a gap: full" in run(entry(False), gaps=("counters",))
    assert "java: no answer" in run(entry(False), problem="no answer")


def test_services_of_the_run_have_no_port_in_common() -> None:
    services = data.load_services()
    ports = [port for name in ORDINARY for port in services[name].ports]
    assert len(set(ports)) == len(ports)
