# SPDX-License-Identifier: GPL-3.0-or-later
"""What harden.yml says before it touches anything, without a VM: of hosts that nobody reaches, and of this machine, which is only looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from test_playbooks import closed_port, conditions, play, replay

HARDEN = "playbooks/harden.yml"
WRONG = {"docker_daemon_default_pids_limit": "many"}  # whatever else there is, this keeps a playbook from going on
LOCAL = {"ansible_connection": "local"}


def away() -> dict[str, Any]:
    return {"ansible_host": "127.0.0.1", "ansible_port": closed_port()}


def test_a_hundred_hosts_are_one_table(tmp_path: Path) -> None:
    gone = away()
    hosts = {**{f"away{number}": gone for number in range(100)}, **{f"wrong{number}": {**LOCAL, **WRONG} for number in range(5)}}
    done = play(HARDEN, tmp_path, hosts)
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 4, done.stdout + done.stderr
    assert "  A      5  fleet       refused, and stops the rollout" in lines
    assert "  B    100  fleet       not reached, and left out" in lines
    assert sum("docker_daemon_default_pids_limit: 'many' is not a whole number" in line for line in lines) == 10, (
        "in the table, and of each host"
    )
    assert "    105 of 105 hosts, 100 unreachable" in lines
    # A line for each host that fails; all else is the same for 5 and for 500.
    rest = [line for line in lines if not line.startswith(("unreachable: [", "failed: [", "    ", "- "))]
    assert len(rest) < 40, "\n".join(rest)
    assert "PLAY [Harden]" not in done.stdout
    assert conditions(tmp_path)


def test_hosts_that_are_away_are_left_out_and_never_good(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1"]).returncode == 0
    done = play(HARDEN, tmp_path, {"host0": away()})
    assert done.returncode == 4, done.stdout + done.stderr
    report = json.loads((tmp_path / "reports" / "verify-host0.json").read_text())
    assert report["unreachable"] and not report["enforced"]
    assert json.loads((tmp_path / "reports" / "plan-host0.json").read_text())["fate"] == "unreachable"


def test_check_mode_writes_no_report(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1"]).returncode == 0
    done = play(HARDEN, tmp_path, {"host0": away()}, "--check")
    assert done.returncode == 4, done.stdout + done.stderr
    assert json.loads((tmp_path / "reports" / "verify-host0.json").read_text())["enforced"]


def test_a_refused_host_may_be_left_out_and_is_then_no_good_one(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1"]).returncode == 0
    hosts = {"host0": {**LOCAL, **WRONG, "bulkhead_blocked": "leave_out"}}
    done = play(HARDEN, tmp_path, hosts)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "fleet       refused, and left out" in done.stdout
    assert "'many' is not a whole number" in json.loads((tmp_path / "reports" / "verify-host0.json").read_text())["error"]


def test_a_wrong_switch_is_a_refusal(tmp_path: Path) -> None:
    done = play(HARDEN, tmp_path, {"host0": {**away(), "bulkhead_unreachable": "skip"}})
    assert done.returncode == 2, done.stdout + done.stderr
    assert "bulkhead_unreachable: 'skip' is not valid; write stop or leave_out" in done.stdout
