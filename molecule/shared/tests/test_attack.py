# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix on a hardened host, cell by cell; that it leaves nothing; and what happens to exactly which cells when a layer is off."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

TABLES = Path(__file__).resolve().parents[1] / "attack"
SIGN = {"blocked": "#", "succeeded": ".", "inconclusive": "-", "unknown": "?"}
# Held by the matrix of a hardened host of every suite.
DEMANDS = {"host_disk": 3, "core_pattern": 3, "kexec_load": 3, "setuid_program": 1, "fork_bomb": 1, "engine_socket": 1}
GONE = "999999:1"  # the owner that a killed run leaves on its things: a process that is no more


@dataclass
class Played:
    """One run of attack.yml: its exit code, what it printed, and the report it wrote."""

    code: int
    output: str
    report: dict[str, Any]

    def table(self) -> list[str]:
        """The columns' names, then a line an attack: its name, and a sign a column."""
        names = [column["name"] for column in self.report["matrix"]["configurations"]]
        rows = self.report["matrix"]["attacks"]
        return [" ".join(names), *(f"{row['name']:<18} {' '.join(SIGN[row['cells'][name]['outcome']] for name in names)}" for row in rows)]


def play(playbook: Callable[..., subprocess.CompletedProcess[str]], folder: Path, **variables: Any) -> Played:
    """Run attack.yml with its report in `folder`, and read it."""
    done = playbook("attack", "-e", json.dumps({"bulkhead_report_dir": str(folder), **variables}))
    reports = list(folder.glob("attack-*.json"))
    assert reports, f"attack.yml wrote no report:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    return Played(done.returncode, done.stdout, json.loads(reports[0].read_text()))


@pytest.fixture(scope="module")
def attack(playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Played]:
    """Run attack.yml and read its report."""
    return lambda **variables: play(playbook, tmp_path_factory.mktemp("reports"), **variables)


def inventory_of(host: Host) -> str:
    """All that a run could leave behind."""
    return host.check_output(
        "docker ps -aq --no-trunc; docker images -aq --no-trunc; docker volume ls -q; ls -A /var/lib/bulkhead; cut -d' ' -f1 /proc/modules | sort;"
        " grep -c . /proc/1/mountinfo /proc/1/cgroup; ls -A /run | grep bulkhead; sha256sum /etc/docker/daemon.json /etc/subuid"
    )


@pytest.fixture(scope="module")
def left(host: Host) -> Iterator[tuple[str, str]]:
    """The host with what a killed run leaves; gives it before that, and clears it should the run not."""
    place = f"/var/lib/bulkhead/attack-{GONE.replace(':', '.')}"
    before = inventory_of(host)
    host.check_output(
        f"mkdir -p {place} && tar -c -T /dev/null | docker import -c 'LABEL io.bulkhead.canary={GONE}' - attack-left &&"
        f" docker create --name attack-left --label io.bulkhead.canary={GONE} attack-left nothing"
    )
    try:
        yield before, place
    finally:
        host.run(f"rm -rf {place}; docker rm -f attack-left; docker rmi -f attack-left")


@pytest.fixture(scope="module")
def played(left: tuple[str, str], attack: Callable[..., Played]) -> Played:
    return attack(attack_matrix_required=DEMANDS)


def test_every_cell_is_as_expected(host: Host, played: Played) -> None:
    expected = (TABLES / f"{host.system_info.codename}.txt").read_text().splitlines()
    assert played.table() == expected, played.output


def test_every_column_was_what_its_name_says(played: Played) -> None:
    trouble = {c["name"]: c["trouble"] for c in played.report["matrix"]["configurations"] if c["trouble"]}
    # The oldest engine has no name for its own seccomp filter once another one is its default.
    assert set(trouble) <= {"engine"}, trouble


def test_demands_that_hold_are_met(played: Played) -> None:
    assert (played.code, played.report["met"], played.report["unmet"]) == (0, True, []), played.output


def test_nothing_is_left_not_even_of_a_killed_run(host: Host, left: tuple[str, str], played: Played) -> None:
    assert inventory_of(host) == left[0]


def test_denials_are_in_the_log_and_silence_is_told(played: Played) -> None:
    cells = {row["name"]: row["cells"] for row in played.report["matrix"]["attacks"]}
    denied = cells["host_shadow"]["apparmor"]
    assert denied["logged"], denied
    assert "apparmor=DENIED operation=ptrace" in denied["log"][0]
    assert cells["keyctl"]["seccomp"]["logged"] is False
    assert "flag LOG" in cells["keyctl"]["seccomp"]["silent"]
    assert played.report["matrix"]["log"]["error"] == ""


def test_the_table_is_printed(played: Played) -> None:
    assert "host_disk" in played.output
    assert "no proof" in played.output
