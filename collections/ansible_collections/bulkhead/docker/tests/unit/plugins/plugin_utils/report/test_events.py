# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.events import RunReports, collect_reports, import_events, read_events

from .samples import make_exposed, make_layer, make_policy, make_waiver

VERIFICATION = {
    "at": "then",
    "probe": {"name": "c"},
    "host": {},
    "layers": [make_layer("seccomp"), make_layer("userns")],
    "containers": [],
    "findings": [],
    "x": 1,
}


class Run:
    """The events of one run, one per second."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add_task(self, action: str, host: str, result: dict[str, Any], event: str = "ok") -> Run:
        number = len(self.events)
        data = {"task_action": f"bulkhead.docker.{action}", "host": host, "res": result}
        created = f"2026-11-24T10:00:{number:02d}.500000+00:00"
        self.events.append({"event": f"runner_on_{event}", "counter": number, "created": created, "event_data": data})
        return self

    def add_verification(self, host: str, verification: dict[str, Any], event: str = "ok", **result: Any) -> Run:
        return (
            self.add_task("plan_layers", host, {})
            .add_task("verify_layers", host, verification, event)
            .add_task("report_layers", host, result)
        )

    def collect(self) -> RunReports:
        found = RunReports()
        collect_reports(self.events, found)
        return found


def test_a_verification_becomes_the_report_of_its_run() -> None:
    time, report = Run().add_verification("web1", VERIFICATION, not_enforced=[]).collect().verify["web1"]
    assert time.isoformat() == "2026-11-24T10:00:02.500000+00:00", "the time of the run, not of the import"
    assert report["enforced"] is True
    assert report["verification"] == {key: value for key, value in VERIFICATION.items() if key != "x"}


@pytest.mark.parametrize(
    ("policy", "exposed"),
    [
        ({}, ["web"]),
        ({"policy": make_policy(make_waiver(until="2026-11-24"))}, []),  # valid on the day of the run
        ({"policy": make_policy(make_waiver(until="2026-11-20"))}, ["web"]),
        ({"policy": make_policy(forbid=[])}, []),
        ({"policy": "text"}, ["web"]),
    ],
)
def test_the_policy_of_the_run_is_restored(policy: dict[str, Any], exposed: list[str]) -> None:
    verification = {**VERIFICATION, "containers": [make_exposed("web")]}
    unused, report = Run().add_verification("web1", verification, **policy).collect().verify["web1"]
    assert [entry["container"] for entry in report["exposed"]] == exposed


@pytest.mark.parametrize(
    ("run", "enforced", "unreachable", "error"),
    [
        (Run().add_verification("h", {"unreachable": True, "msg": "refused"}, "unreachable"), False, True, "refused"),
        (Run().add_verification("h", {"msg": "no engine"}), False, False, "no engine"),
        (Run().add_verification("h", {}), False, False, "MAX_EVENT_RES"),
        (Run().add_task("report_layers", "h", {}), False, False, "did not run"),
        (Run().add_task("plan_layers", "h", {"msg": "'many'"}, "failed").add_task("report_layers", "h", {}), False, False, "'many'"),
        # The verification of an earlier play of the same run.
        (
            Run()
            .add_verification("h", VERIFICATION)
            .add_task("plan_layers", "h", {"msg": "no"}, "failed")
            .add_task("report_layers", "h", {}),
            False,
            False,
            "no",
        ),
        (Run().add_verification("h", VERIFICATION).add_task("report_layers", "h", {}), False, False, "did not run"),
    ],
)
def test_a_run_without_a_result_is_reported(run: Run, enforced: bool, unreachable: bool, error: str) -> None:
    unused, report = run.collect().verify["h"]
    assert (report["enforced"], report["unreachable"], report["verification"]) == (enforced, unreachable, {})
    assert error in report["error"]


def test_events_may_be_in_any_order_and_of_several_hosts() -> None:
    run = Run().add_task("verify_layers", "a", VERIFICATION).add_task("verify_layers", "b", {"msg": "no"})
    run.add_task("report_layers", "b", {}).add_task("report_layers", "a", {})
    run.events.reverse()
    found = run.collect()
    assert (found.verify["a"][1]["enforced"], found.verify["b"][1]["enforced"]) == (True, False)


def test_a_run_that_ended_before_its_report_has_none() -> None:
    assert not Run().add_task("verify_layers", "h", VERIFICATION).collect().verify


@pytest.mark.parametrize("name", ["../h", "/etc/h", ".h", ""])
def test_no_host_name_leads_out_of_the_folder(name: str) -> None:
    assert not Run().add_verification(name, VERIFICATION).collect().verify


def test_a_matrix_becomes_the_report_of_its_run() -> None:
    bpf = {"name": "bpf", "conclusive": True, "layers": 1, "stopped_by": ["seccomp"]}
    run = Run().add_task("attack_matrix", "h", {"attacks": [bpf], "configurations": [], "x": 1})
    unused, report = run.add_task("report_attacks", "h", {"unmet": ["bpf …"], "required": {"bpf": 2}}, "failed").collect().attack["h"]
    unmet = ["bpf is stopped by 1 layers (seccomp), and 2 must stop it"]
    assert report == {
        "host": "h", "met": False, "unmet": unmet, "required": {"bpf": 2}, "matrix": {"attacks": [bpf], "configurations": []},
    }  # fmt: skip


def test_a_report_without_attacks_has_the_error() -> None:
    run = Run().add_task("attack_matrix", "h", {"msg": "no engine"}, "failed").add_task("report_attacks", "h", {"unmet": []}, "failed")
    unused, report = run.collect().attack["h"]
    assert not report["met"] and report["matrix"] == {} and report["error"] == "no engine"
    assert not Run().add_task("report_attacks", "h", {"msg": "required is wrong"}, "failed").collect().attack


@pytest.mark.parametrize("form", ["folder", "list", "page"])
def test_events_are_read_from_folders_lists_and_pages(tmp_path: Path, form: str) -> None:
    events = Run().add_verification("h", VERIFICATION).events
    if form == "folder":
        (tmp_path / "job_events").mkdir()
        for number, event in enumerate(events):
            (tmp_path / "job_events" / f"{number}-x.json").write_text(json.dumps(event))
        (tmp_path / "job_events" / "9-x-partial.json").write_text("{")
        found = read_events(tmp_path)
    else:
        file = tmp_path / "events.json"
        file.write_text(json.dumps(events if form == "list" else {"count": 3, "results": events}))
        found = read_events(file)
    assert list(found.verify) == ["h"] and found.problems == []


@pytest.mark.parametrize("text", ["{", "[1]", '{"results": 3}', '[{"event": "runner_on_ok", "created": "today"}]', '[{"event": "x"}]'])
def test_invalid_events_are_a_problem(tmp_path: Path, text: str) -> None:
    (tmp_path / "events.json").write_text(text)
    (problem,) = read_events(tmp_path / "events.json").problems
    assert "events.json does not contain valid events" in problem


def test_a_folder_without_events_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="contains no events"):
        read_events(tmp_path)


def test_an_import_keeps_newer_reports(tmp_path: Path) -> None:
    events, folder = tmp_path / "events.json", tmp_path / "reports"
    events.write_text(json.dumps(Run().add_verification("old", VERIFICATION).add_verification("new", VERIFICATION).events))
    folder.mkdir()
    (folder / "verify-old.json").write_text(json.dumps({"host": "old", "written": "2026-11-24T09:00:00+00:00", "verification": {}}))
    newer = json.dumps({"host": "new", "written": "2026-11-24T11:00:00+00:00", "verification": {}})
    (folder / "verify-new.json").write_text(newer)
    assert import_events(events, folder) == []
    assert json.loads((folder / "verify-old.json").read_text())["enforced"] is True
    assert (folder / "verify-new.json").read_text() == newer


def test_events_without_results_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "events.json").write_text("[]")
    (problem,) = import_events(tmp_path / "events.json", tmp_path / "reports")
    assert "contains no result of a host" in problem
