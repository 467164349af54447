# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack matrix on a hardened host: every cell has its expected outcome, and a run leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import DEAD_OWNER, leave_killed_run
from testinfra.host import Host

TABLES = Path(__file__).resolve().parents[1] / "attack"
SIGN = {"blocked": "#", "succeeded": ".", "inconclusive": "-", "unknown": "?"}
# Requirements that a hardened host of every suite meets.
REQUIRED = {"host_disk": 3, "core_pattern": 3, "kexec_load": 3, "setuid_program": 1, "fork_bomb": 1, "engine_socket": 1}


@dataclass
class AttackRun:
    """One run of attack.yml: its exit code, its output, and its report."""

    code: int
    output: str
    report: dict[str, Any]

    def render_table(self) -> list[str]:
        """Return the names of the columns, then one line per attack: its name, and one sign per column."""
        names = [column["name"] for column in self.report["matrix"]["configurations"]]
        rows = self.report["matrix"]["attacks"]
        return [" ".join(names), *(f"{row['name']:<18} {' '.join(SIGN[row['cells'][name]['outcome']] for name in names)}" for row in rows)]


def run_attacks(playbook: Callable[..., subprocess.CompletedProcess[str]], folder: Path, **variables: Any) -> AttackRun:
    """Run attack.yml with its report in `folder`, and read the report."""
    done = playbook("attack", "-e", json.dumps({"bulkhead_report_dir": str(folder), **variables}))
    reports = list(folder.glob("attack-*.json"))
    assert reports, f"attack.yml wrote no report:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    return AttackRun(done.returncode, done.stdout, json.loads(reports[0].read_text()))


@pytest.fixture(scope="module")
def attack(playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AttackRun]:
    """Run attack.yml and read its report."""
    return lambda **variables: run_attacks(playbook, tmp_path_factory.mktemp("reports"), **variables)


def list_objects(host: Host) -> str:
    """Return everything that a run could leave behind."""
    return host.check_output(
        "docker ps -aq --no-trunc; docker images -aq --no-trunc; docker volume ls -q; ls -A /var/lib/bulkhead; cut -d' ' -f1 /proc/modules | sort;"
        " grep -c . /proc/1/mountinfo /proc/1/cgroup; ls -A /run | grep bulkhead; sha256sum /etc/docker/daemon.json /etc/subuid"
    )


@pytest.fixture(scope="module")
def leftovers(host: Host) -> Iterator[tuple[str, str]]:
    """Create what a killed run leaves. Yield the objects before that, and the folder. Remove it all if the run has not."""
    folder = f"/var/lib/bulkhead/attack-{DEAD_OWNER.replace(':', '.')}"
    before = list_objects(host)
    host.check_output(f"mkdir -p {folder} && {leave_killed_run('attack-left')}")
    try:
        yield before, folder
    finally:
        host.run(f"rm -rf {folder}; docker rm -f attack-left; docker rmi -f attack-left:1")


@pytest.fixture(scope="module")
def attack_run(leftovers: tuple[str, str], attack: Callable[..., AttackRun]) -> AttackRun:
    return attack(attack_matrix_required=REQUIRED)


def test_every_cell_is_as_expected(host: Host, attack_run: AttackRun) -> None:
    system = host.system_info
    suffix = "" if system.arch == "x86_64" else f"-{system.arch}"
    expected = (TABLES / f"{system.codename}{suffix}.txt").read_text().splitlines()
    assert attack_run.render_table() == expected, attack_run.output


def test_every_column_has_the_layers_of_its_name(attack_run: AttackRun) -> None:
    problems = {c["name"]: c["problem"] for c in attack_run.report["matrix"]["configurations"] if c["problem"]}
    # The oldest engine cannot select its own seccomp filter when another one is its default.
    assert set(problems) <= {"engine"}, problems


def test_the_pids_limit_stops_the_fork_bomb(attack_run: AttackRun) -> None:
    """Not the memory of the container: the task that fails is the one beyond the limit. The runner and the attack are two tasks."""
    cells = next(row for row in attack_run.report["matrix"]["attacks"] if row["name"] == "fork_bomb")["cells"]
    stopped = {name: (cells[name]["step"], cells[name]["errno"]) for name in ("pids_limit", "host", "stacked")}
    assert stopped == {"pids_limit": ("task 511", "EAGAIN"), "host": ("task 511", "EAGAIN"), "stacked": ("task 99", "EAGAIN")}
    assert cells["none"]["detail"] == "540 tasks at once"


def test_requirements_are_met(attack_run: AttackRun) -> None:
    assert (attack_run.code, attack_run.report["met"], attack_run.report["unmet"]) == (0, True, []), attack_run.output


def test_nothing_is_left_of_this_run_or_a_killed_one(host: Host, leftovers: tuple[str, str], attack_run: AttackRun) -> None:
    assert list_objects(host) == leftovers[0]


def test_denials_are_logged_and_silent_ones_explained(attack_run: AttackRun) -> None:
    cells = {row["name"]: row["cells"] for row in attack_run.report["matrix"]["attacks"]}
    cell = cells["host_shadow"]["apparmor"]
    assert cell["logged"], cell
    assert "apparmor=DENIED operation=ptrace" in cell["log"][0]
    assert cells["keyctl"]["seccomp"]["logged"] is False
    assert "flag LOG" in cells["keyctl"]["seccomp"]["silent"]
    assert attack_run.report["matrix"]["log"]["error"] == ""


def test_the_table_is_printed(attack_run: AttackRun) -> None:
    assert "host_disk" in attack_run.output
    assert "inconclusive" in attack_run.output
