# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of ansible-runner, which AWX and other schedulers use, give the same report that the run itself wrote.

One host is reachable, one is not. The tests run in check mode and without it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

TOOLS = Path(sys.executable).parent
AWAY = {"docker_hosts": {"hosts": {"away": {"ansible_host": "127.0.0.1", "ansible_port": 1}}}}


@dataclass
class RunnerJob:
    """The folders of a run's artifacts and reports."""

    artifacts: Path
    reports: Path

    def read_artifact(self, name: str) -> str:
        return (self.artifacts / name).read_text()

    def events(self, kind: str) -> list[dict[str, Any]]:
        events = [json.loads(path.read_text()) for path in (self.artifacts / "job_events").glob("*.json")]
        return [event for event in events if event["event"] == kind]


@pytest.fixture(scope="module", params=["--check", ""], ids=["check", "real"])
def job(request: pytest.FixtureRequest, inventory: str, tmp_path_factory: pytest.TempPathFactory) -> RunnerJob:
    """Run verify.yml as a scheduler does: with a folder of settings, and without the environment of this process."""
    home = tmp_path_factory.mktemp("runner")
    (home / "env").mkdir()
    (home / "inventory").mkdir()
    (home / "project").symlink_to(REPOSITORY)
    shutil.copy(inventory, home / "inventory" / "here.yml")
    (home / "inventory" / "away.yml").write_text(yaml.safe_dump(AWAY))
    (home / "env" / "extravars").write_text(yaml.safe_dump({"bulkhead_report_dir": str(home / "reports")}))
    (home / "env" / "envvars").write_text(yaml.safe_dump({"ANSIBLE_STDOUT_CALLBACK": "bulkhead.docker.compact", "ANSIBLE_NOCOLOR": "1"}))
    (home / "env" / "cmdline").write_text(request.param)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment["PATH"] = f"{TOOLS}:{environment['PATH']}"
    command = [str(TOOLS / "ansible-runner"), "run", str(home), "-p", "playbooks/verify.yml", "--ident", "job"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stdout[-4000:] + done.stderr[-2000:]
    return RunnerJob(home / "artifacts" / "job", home / "reports")


def test_the_exit_code_is_that_of_the_playbook(job: RunnerJob) -> None:
    assert (job.read_artifact("rc"), job.read_artifact("status")) == ("4", "failed")
    assert "Fleet: 0 of 2 hosts verified" in job.read_artifact("stdout"), "the runner's output contains the project's own output"
    assert [event["event_data"]["host"] for event in job.events("runner_on_unreachable")] == ["away", "away"]


def test_events_give_the_same_report(job: RunnerJob, inventory: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "report", f"EVENTS={job.artifacts}", f"REPORTS={tmp_path}", f"INVENTORY={inventory}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rebuilt = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("verify-*.json")}
    written = {path.name: json.loads(path.read_text()) for path in job.reports.glob("verify-*.json")}
    assert len(written) == 2
    for name, report in written.items():
        # In seconds, and the event is written after the file.
        assert abs(parse_time(rebuilt[name].pop("written")) - parse_time(report.pop("written"))) <= 2
        # The events do not contain what a resumed rollout needs: such a host is verified again.
        for key in ("run", "started", "expected"):
            assert key in report and key not in rebuilt[name]
            del report[key]
        assert rebuilt[name] == report
    assert "<strong>0 of 1</strong> hosts verified" in (tmp_path / "fleet.html").read_text(), "the inventory of the command counts"


def test_the_result_is_an_artifact_of_the_job(job: RunnerJob) -> None:
    (stats,) = job.events("playbook_on_stats")
    fleet = stats["event_data"]["artifact_data"]["bulkhead_fleet"]
    assert fleet["verified"] is False
    assert (fleet["hosts"]["failing"], fleet["hosts"]["unreachable"], fleet["hosts"]["verified"]) == (1, 1, 0)
    assert fleet["not_verified"]["unreachable"] == ["away"]


def parse_time(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()
