# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout over two machines, one of group canary and one of group fleet, and a third host that is unreachable: what stops it, how it resumes.

Each test continues where the previous one ended. Only two layers are enabled, because the others do not change a rollout.
By hand: LAB_MACHINE="A B" pytest molecule/shared/tests/test_rollout.py --ansible-inventory .lab/A/inventory.yml --hosts ansible://docker_hosts
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from conftest import REPOSITORY, playbook_command, playbook_environment
from testinfra.host import Host

CANARY, FLEET = os.environ.get("LAB_MACHINE", "molecule-rollout molecule-rollout-fleet").split()
AWAY = "away"
# Lists everything that a rollout could change. It shares no code with the rollout.
LIST_STATE = """
set -eu -o pipefail
find /etc /usr/local -xdev -type f -print0 | sort -z | xargs -0 sha256sum
ls -A /var/lib/bulkhead 2>/dev/null || echo nothing
systemctl show docker.service -p MainPID,ActiveEnterTimestamp,NeedDaemonReload,DropInPaths
docker ps -aq --no-trunc; docker image ls -q
"""
SCOPE = "/etc/systemd/system/docker-.scope.d"
LATER = f"{SCOPE}/99-later.conf"


class RolloutFleet:
    """The inventory of both machines and the third host, and the folder of reports."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.reports, self.port = folder, folder / "reports", folder / "port"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.closed = listener.getsockname()[1]
        self.open = self._variables(CANARY)["ansible_port"]
        self.port.write_text(str(self.open))
        canary = {"ansible_port": f"{{{{ lookup('ansible.builtin.file', '{self.port}') | int }}}}"}
        away = {"ansible_host": "127.0.0.1", "ansible_port": self.closed}
        groups = {"canary": {"hosts": {CANARY: canary}}, "fleet": {"hosts": {FLEET: {}, AWAY: away}}}
        disabled = {f"{role}_layer": "disabled" for role in ("seccomp_profiles", "apparmor_profiles", "userns_remap")}
        variables = {**disabled, "docker_daemon_timeout": 600}  # two emulated machines on one control node
        (folder / "fleet.yml").write_text(yaml.safe_dump({"docker_hosts": {"children": groups, "vars": variables}}))
        self.inventories = [str(self._path(CANARY)), str(self._path(FLEET)), str(folder / "fleet.yml")]

    def host(self, name: str) -> Host:
        return testinfra.get_host(f"ansible://{name}?ansible_inventory={self._path(name)}")

    def list_state(self, name: str) -> list[str]:
        return str(self.host(name).check_output(f"bash -c '{LIST_STATE}'")).splitlines()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = playbook_command(
            self.inventories, REPOSITORY / "playbooks/harden.yml", "-e", f"bulkhead_report_dir={self.reports}", *arguments
        )
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=playbook_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def harden(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        output, unused = process.communicate()
        return process.returncode, output

    def read_report(self, name: str) -> dict[str, Any]:
        path = self.reports / f"verify-{name}.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def read_conditions(self) -> dict[str, str]:
        state = json.loads((self.reports / "fleet.json").read_text())
        return {name: host["condition"] for name, host in state["hosts"].items()}

    def _path(self, name: str) -> Path:
        return REPOSITORY / f".lab/{name}/inventory.yml"

    def _variables(self, name: str) -> dict[str, Any]:
        return dict(yaml.safe_load(self._path(name).read_text())["all"]["children"]["docker_hosts"]["hosts"][name])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> RolloutFleet:
    return RolloutFleet(tmp_path_factory.mktemp("fleet"))


def is_visited(output: str, host: str) -> bool:
    """Return whether a batch contained the host: its tasks come after the preflight's."""
    return bool(re.search(rf"(ok|changed|failed|fatal): \[{host}\]", output.partition("PLAY [Harden]")[2]))


def test_a_blocked_host_stops_the_rollout_before_any_change(fleet: RolloutFleet) -> None:
    second = fleet.host(FLEET)
    second.check_output('mkdir -p /etc/docker && echo \'{"debug": "yes"}\' > /etc/docker/daemon.json')
    before = {name: fleet.list_state(name) for name in (CANARY, FLEET)}
    code, output = fleet.harden()
    assert code == 4, output
    assert before == {name: fleet.list_state(name) for name in (CANARY, FLEET)}
    assert re.search(r"^  [A-Z] +1  fleet +blocked; stops the rollout$", output, re.MULTILINE), output
    assert re.search(r"^  [A-Z] +1  fleet +unreachable; left out$", output, re.MULTILINE), output
    assert "/etc/docker/daemon.json: debug:" in output
    assert "Nothing was changed: 1 of 3 hosts are blocked or unreachable" in output
    assert fleet.read_report(AWAY)["unreachable"] and not fleet.read_report(CANARY)
    second.check_output("rm /etc/docker/daemon.json")


def test_a_canary_host_that_is_lost_during_its_batch_fails(fleet: RolloutFleet) -> None:
    before = {name: fleet.list_state(name) for name in (CANARY, FLEET)}
    process = fleet.start()
    deadline = time.monotonic() + 300
    while not fleet.read_report(CANARY).get("started") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    fleet.port.write_text(str(fleet.closed))
    output, unused = process.communicate()
    fleet.port.write_text(str(fleet.open))
    assert process.returncode == 4, output
    assert "The rollout has stopped in batch canary" in output
    assert f"? {CANARY}: became unreachable during its change" in output
    assert f". not changed: {FLEET}" in output
    assert fleet.read_conditions() == {CANARY: "unreachable", FLEET: "never", AWAY: "unreachable"}
    assert before == {name: fleet.list_state(name) for name in (CANARY, FLEET)}


def test_a_canary_host_that_fails_stops_the_rollout(fleet: RolloutFleet) -> None:
    canary = fleet.host(CANARY)
    canary.check_output(f"mkdir -p {SCOPE} && mount -t tmpfs -o ro none {SCOPE}")
    before = fleet.list_state(FLEET)
    code, output = fleet.harden("--limit", f"!{AWAY}")
    assert code == 2, output
    assert f'x {CANARY}: "Change the engine\'s configuration" failed:' in output
    assert "required and not enforced: pids_limit (absent), no_new_privileges (absent)" in output
    assert re.search(r"pids_limit: \d+  <- /sys/fs/cgroup/", output), "the message contains the evidence"
    assert f". not changed: {FLEET}" in output
    assert before == fleet.list_state(FLEET)
    report = fleet.read_report(CANARY)
    assert report["failure"]["task"] == "Change the engine's configuration" and not report["started"]
    assert fleet.read_conditions()[CANARY] == "failing"
    assert canary.run("docker info").rc == 0 and not canary.file("/etc/docker/daemon.json").exists
    canary.check_output(f"umount {SCOPE}")


def test_a_repaired_rollout_continues_to_the_next_failing_host(fleet: RolloutFleet) -> None:
    second = fleet.host(FLEET)
    second.check_output(f"mkdir -p {SCOPE} && printf '[Scope]\\nTasksMax=50\\n' > {LATER}")
    code, output = fleet.harden("--limit", f"!{AWAY}")
    assert code == 2, output
    assert "Batch canary is verified: 1 of 2 hosts of this rollout" in output
    assert "The rollout has stopped in batch fleet" in output
    assert f"x {FLEET}: required and not enforced on {FLEET}: pids_limit" in output
    assert f"+ verified before: {CANARY}" in output
    assert fleet.read_conditions()[CANARY] == "verified" and fleet.read_conditions()[FLEET] == "failing"


def test_a_second_start_resumes_the_rollout(fleet: RolloutFleet) -> None:
    fleet.host(FLEET).check_output(f"rm {LATER} && systemctl daemon-reload")
    before = fleet.list_state(CANARY)
    code, output = fleet.harden()
    assert code == 4, output
    assert re.search(r"^  [A-Z] +1  canary +skipped: as desired and verified$", output, re.MULTILINE), output
    assert not is_visited(output, CANARY) and is_visited(output, FLEET)
    assert before == fleet.list_state(CANARY)
    assert fleet.read_conditions() == {CANARY: "verified", FLEET: "verified", AWAY: "unreachable"}
    assert fleet.host(FLEET).check_output(f"cat {SCOPE}/10-bulkhead-pids.conf").count("TasksMax=512") == 1


def test_a_third_start_changes_nothing(fleet: RolloutFleet) -> None:
    before = {name: fleet.list_state(name) for name in (CANARY, FLEET)}
    code, output = fleet.harden("--limit", f"!{AWAY}")
    assert code == 0, output
    assert "There is nothing to do" in output
    assert "PLAY [Harden]" not in output or not (is_visited(output, CANARY) or is_visited(output, FLEET))
    assert before == {name: fleet.list_state(name) for name in (CANARY, FLEET)}


def test_a_restarted_engine_is_verified_again(fleet: RolloutFleet) -> None:
    fleet.host(CANARY).check_output("systemctl restart docker.service")
    code, output = fleet.harden("--limit", CANARY)
    assert code == 0, output
    assert "as desired; will be verified" in output
    assert is_visited(output, CANARY) and "changed: [" not in output


def test_a_rollout_of_one_layer_requires_only_that_layer(fleet: RolloutFleet) -> None:
    arguments = ("--limit", CANARY, "--tags", "seccomp", "-e", "seccomp_profiles_layer=required", "-e", "userns_remap_layer=required")
    code, output = fleet.harden(*arguments)
    assert code == 0, output
    assert "Batch canary is verified" in output
    assert "userns (absent)" in fleet.read_report(CANARY)["not_enforced"], "the report contains every required layer"
    assert fleet.read_conditions()[CANARY] == "failing"
    code, output = fleet.harden(*arguments)
    assert code == 0 and "There is nothing to do" in output, output
