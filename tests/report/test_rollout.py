# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of harden.yml before any change, without a VM: for unreachable hosts, and for this machine, which is only observed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from test_playbooks import find_closed_port, read_conditions, replay, run_playbook

HARDEN = "playbooks/harden.yml"
WRONG = {"docker_daemon_default_pids_limit": "many"}  # blocks every host, so that no playbook changes this machine
LOCAL = {"ansible_connection": "local"}


def make_unreachable_host() -> dict[str, Any]:
    return {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port()}


def test_the_preflight_of_many_hosts_is_one_table(tmp_path: Path) -> None:
    gone = make_unreachable_host()
    hosts = {**{f"away{number}": gone for number in range(100)}, **{f"wrong{number}": {**LOCAL, **WRONG} for number in range(5)}}
    done = run_playbook(HARDEN, tmp_path, hosts)
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 4, done.stdout + done.stderr
    assert "  A      5  fleet       blocked; stops the rollout" in lines
    assert "  B    100  fleet       unreachable; left out" in lines
    assert sum("docker_daemon_default_pids_limit: 'many' is not an integer" in line for line in lines) == 10, (
        "in the table, and once per host"
    )
    assert "    105 of 105 hosts, 100 unreachable" in lines
    # One line per host that fails. All other output is the same for 5 and for 500 hosts.
    rest = [line for line in lines if not line.startswith(("unreachable: [", "failed: [", "    ", "- "))]
    assert len(rest) < 40, "\n".join(rest)
    assert "PLAY [Harden]" not in done.stdout
    assert read_conditions(tmp_path)


def test_an_unreachable_host_is_left_out_and_not_verified(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1"]).returncode == 0
    done = run_playbook(HARDEN, tmp_path, {"host0": make_unreachable_host()})
    assert done.returncode == 4, done.stdout + done.stderr
    report = json.loads((tmp_path / "reports" / "verify-host0.json").read_text())
    assert report["unreachable"] and not report["enforced"]
    assert json.loads((tmp_path / "reports" / "plan-host0.json").read_text())["decision"] == "unreachable"


def test_check_mode_writes_no_report(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1"]).returncode == 0
    done = run_playbook(HARDEN, tmp_path, {"host0": make_unreachable_host()}, "--check")
    assert done.returncode == 4, done.stdout + done.stderr
    assert json.loads((tmp_path / "reports" / "verify-host0.json").read_text())["enforced"]


def test_a_blocked_host_can_be_left_out_and_is_not_verified(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1"]).returncode == 0
    hosts = {"host0": {**LOCAL, **WRONG, "bulkhead_blocked": "leave_out"}}
    done = run_playbook(HARDEN, tmp_path, hosts)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "fleet       blocked; left out" in done.stdout
    assert "'many' is not an integer" in json.loads((tmp_path / "reports" / "verify-host0.json").read_text())["error"]


def test_an_invalid_switch_is_a_blocker(tmp_path: Path) -> None:
    done = run_playbook(HARDEN, tmp_path, {"host0": {**make_unreachable_host(), "bulkhead_unreachable": "skip"}})
    assert done.returncode == 2, done.stdout + done.stderr
    assert "bulkhead_unreachable: 'skip' is not valid; write stop or leave_out" in done.stdout
