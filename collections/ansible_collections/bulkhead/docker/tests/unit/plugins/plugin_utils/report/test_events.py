# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.events import Told, gather, load, take

from .samples import layer

PROOF = {
    "at": "then",
    "probe": {"name": "c"},
    "host": {},
    "layers": [layer("seccomp"), layer("userns")],
    "containers": [],
    "findings": [],
    "x": 1,
}


class Run:
    """The events of one run, a second each."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def ended(self, action: str, host: str, result: dict[str, Any], event: str = "ok") -> Run:
        number = len(self.events)
        data = {"task_action": f"bulkhead.docker.{action}", "host": host, "res": result}
        created = f"2026-11-24T10:00:{number:02d}.500000+00:00"
        self.events.append({"event": f"runner_on_{event}", "counter": number, "created": created, "event_data": data})
        return self

    def verified(self, host: str, verification: dict[str, Any], event: str = "ok", **result: Any) -> Run:
        return self.ended("plan_layers", host, {}).ended("verify_layers", host, verification, event).ended("report_layers", host, result)

    def told(self) -> Told:
        told = Told()
        gather(self.events, told)
        return told


def test_a_proof_becomes_the_report_that_the_run_wrote() -> None:
    made, report = Run().verified("web1", PROOF, not_enforced=[]).told().verify["web1"]
    assert made.isoformat() == "2026-11-24T10:00:02.500000+00:00", "when the run wrote it, not when its events were read"
    assert report["enforced"] is True
    assert report["verification"] == {key: value for key, value in PROOF.items() if key != "x"}


@pytest.mark.parametrize(
    ("run", "enforced", "unreachable", "error"),
    [
        (Run().verified("h", {"unreachable": True, "msg": "refused"}, "unreachable"), False, True, "refused"),
        (Run().verified("h", {"msg": "no engine"}), False, False, "no engine"),
        (Run().verified("h", {}), False, False, "MAX_EVENT_RES"),
        (Run().ended("report_layers", "h", {}), False, False, "did not run"),
        (Run().ended("plan_layers", "h", {"msg": "'many'"}, "failed").ended("report_layers", "h", {}), False, False, "'many'"),
        # The verification of an earlier play of the same run.
        (Run().verified("h", PROOF).ended("plan_layers", "h", {"msg": "no"}, "failed").ended("report_layers", "h", {}), False, False, "no"),
        (Run().verified("h", PROOF).ended("report_layers", "h", {}), False, False, "did not run"),
    ],
)
def test_a_try_that_came_to_nothing_is_told(run: Run, enforced: bool, unreachable: bool, error: str) -> None:
    unused, report = run.told().verify["h"]
    assert (report["enforced"], report["unreachable"], report["verification"]) == (enforced, unreachable, {})
    assert error in report["error"]


def test_events_come_in_any_order_and_each_host_is_its_own() -> None:
    run = Run().ended("verify_layers", "a", PROOF).ended("verify_layers", "b", {"msg": "no"})
    run.ended("report_layers", "b", {}).ended("report_layers", "a", {})
    run.events.reverse()
    told = run.told()
    assert (told.verify["a"][1]["enforced"], told.verify["b"][1]["enforced"]) == (True, False)


def test_a_run_that_ended_before_its_report_tells_nothing() -> None:
    assert not Run().ended("verify_layers", "h", PROOF).told().verify


@pytest.mark.parametrize("name", ["../h", "/etc/h", ".h", ""])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    assert not Run().verified(name, PROOF).told().verify


def test_a_matrix_becomes_its_report() -> None:
    bpf = {"name": "bpf", "provable": True, "layers": 1, "stopped_by": ["seccomp"]}
    run = Run().ended("attack_matrix", "h", {"attacks": [bpf], "configurations": [], "x": 1})
    unused, report = run.ended("report_attacks", "h", {"unmet": ["bpf …"], "required": {"bpf": 2}}, "failed").told().attack["h"]
    unmet = ["bpf is stopped by 1 layers (seccomp), and 2 have to stop it"]
    assert report == {
        "host": "h", "met": False, "unmet": unmet, "required": {"bpf": 2}, "matrix": {"attacks": [bpf], "configurations": []},
    }  # fmt: skip


def test_where_nothing_was_played_the_report_says_so() -> None:
    run = Run().ended("attack_matrix", "h", {"msg": "no engine"}, "failed").ended("report_attacks", "h", {"unmet": []}, "failed")
    unused, report = run.told().attack["h"]
    assert not report["met"] and report["matrix"] == {} and report["error"] == "no engine"
    assert not Run().ended("report_attacks", "h", {"msg": "required is wrong"}, "failed").told().attack


@pytest.mark.parametrize("form", ["folder", "list", "page"])
def test_where_events_come_from(tmp_path: Path, form: str) -> None:
    events = Run().verified("h", PROOF).events
    if form == "folder":
        (tmp_path / "job_events").mkdir()
        for number, event in enumerate(events):
            (tmp_path / "job_events" / f"{number}-x.json").write_text(json.dumps(event))
        (tmp_path / "job_events" / "9-x-partial.json").write_text("{")
        told = load(tmp_path)
    else:
        file = tmp_path / "events.json"
        file.write_text(json.dumps(events if form == "list" else {"count": 3, "results": events}))
        told = load(file)
    assert list(told.verify) == ["h"] and told.problems == []


@pytest.mark.parametrize("text", ["{", "[1]", '{"results": 3}', '[{"event": "runner_on_ok", "created": "today"}]', '[{"event": "x"}]'])
def test_what_is_no_event_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "events.json").write_text(text)
    (problem,) = load(tmp_path / "events.json").problems
    assert "events.json holds no event" in problem


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no events"):
        load(tmp_path)


def test_taking_over_leaves_what_is_newer(tmp_path: Path) -> None:
    events, folder = tmp_path / "events.json", tmp_path / "reports"
    events.write_text(json.dumps(Run().verified("old", PROOF).verified("new", PROOF).events))
    folder.mkdir()
    (folder / "verify-old.json").write_text(json.dumps({"host": "old", "written": "2026-11-24T09:00:00+00:00", "verification": {}}))
    newer = json.dumps({"host": "new", "written": "2026-11-24T11:00:00+00:00", "verification": {}})
    (folder / "verify-new.json").write_text(newer)
    assert take(events, folder) == []
    assert json.loads((folder / "verify-old.json").read_text())["enforced"] is True
    assert (folder / "verify-new.json").read_text() == newer


def test_events_of_something_else_are_said(tmp_path: Path) -> None:
    (tmp_path / "events.json").write_text("[]")
    (problem,) = take(tmp_path / "events.json", tmp_path / "reports")
    assert "tells of no host" in problem
