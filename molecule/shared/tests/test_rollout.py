# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout over two machines, a canary and a host of the fleet, and a third host that nobody can reach: what stops it, and how it goes on.

The tests are one story, each from where the one before ended. Only two layers are wanted, as the others would tell nothing more of a rollout.
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
# All that a rollout could touch, by other means than its own.
LOOK = """
set -eu -o pipefail
find /etc /usr/local -xdev -type f -print0 | sort -z | xargs -0 sha256sum
ls -A /var/lib/bulkhead 2>/dev/null || echo none of ours
systemctl show docker.service -p MainPID,ActiveEnterTimestamp,NeedDaemonReload,DropInPaths
docker ps -aq --no-trunc; docker image ls -q
"""
SCOPE = "/etc/systemd/system/docker-.scope.d"
LATER = f"{SCOPE}/99-later.conf"


class Fleet:
    """The inventory of the two machines and the third host, and the folder of reports."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.reports, self.port = folder, folder / "reports", folder / "port"
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.closed = one.getsockname()[1]
        self.open = self._variables(CANARY)["ansible_port"]
        self.port.write_text(str(self.open))
        canary = {"ansible_port": f"{{{{ lookup('ansible.builtin.file', '{self.port}') | int }}}}"}
        away = {"ansible_host": "127.0.0.1", "ansible_port": self.closed}
        groups = {"canary": {"hosts": {CANARY: canary}}, "fleet": {"hosts": {FLEET: {}, AWAY: away}}}
        off = {f"{role}_layer": "disabled" for role in ("seccomp_profiles", "apparmor_profiles", "userns_remap")}
        patient = {**off, "docker_daemon_timeout": 600}  # two emulated machines, and whatever else this one does
        (folder / "fleet.yml").write_text(yaml.safe_dump({"docker_hosts": {"children": groups, "vars": patient}}))
        self.inventories = [str(self._path(CANARY)), str(self._path(FLEET)), str(folder / "fleet.yml")]

    def host(self, name: str) -> Host:
        return testinfra.get_host(f"ansible://{name}?ansible_inventory={self._path(name)}")

    def look(self, name: str) -> list[str]:
        return str(self.host(name).check_output(f"bash -c '{LOOK}'")).splitlines()

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = playbook_command(self.inventories, REPOSITORY / "playbooks/harden.yml", "-e", f"bulkhead_report_dir={self.reports}", *arguments)
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=playbook_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def harden(self, *arguments: str) -> tuple[int, str]:
        process = self.begin(*arguments)
        output, unused = process.communicate()
        return process.returncode, output

    def report(self, name: str) -> dict[str, Any]:
        path = self.reports / f"verify-{name}.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def conditions(self) -> dict[str, str]:
        state = json.loads((self.reports / "fleet.json").read_text())
        return {name: host["condition"] for name, host in state["hosts"].items()}

    def _path(self, name: str) -> Path:
        return REPOSITORY / f".lab/{name}/inventory.yml"

    def _variables(self, name: str) -> dict[str, Any]:
        return dict(yaml.safe_load(self._path(name).read_text())["all"]["children"]["docker_hosts"]["hosts"][name])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"))


def visited(output: str, host: str) -> bool:
    """Whether a batch went to the host: its tasks come after the preflight's."""
    return bool(re.search(rf"(ok|changed|failed|fatal): \[{host}\]", output.partition("PLAY [Harden]")[2]))


def test_a_host_that_is_refused_stops_everything_before_the_first_is_touched(fleet: Fleet) -> None:
    second = fleet.host(FLEET)
    second.check_output('mkdir -p /etc/docker && echo \'{"debug": "yes"}\' > /etc/docker/daemon.json')
    before = {name: fleet.look(name) for name in (CANARY, FLEET)}
    code, output = fleet.harden()
    assert code == 4, output
    assert before == {name: fleet.look(name) for name in (CANARY, FLEET)}
    assert re.search(r"^  [A-Z] +1  fleet +refused, and stops the rollout$", output, re.MULTILINE), output
    assert re.search(r"^  [A-Z] +1  fleet +not reached, and left out$", output, re.MULTILINE), output
    assert "/etc/docker/daemon.json: debug:" in output
    assert "Nothing was changed: 1 of 3 hosts are blocked or unreachable" in output
    assert fleet.report(AWAY)["unreachable"] and not fleet.report(CANARY)
    second.check_output("rm /etc/docker/daemon.json")


def test_a_canary_that_is_lost_in_the_middle_is_no_good_host(fleet: Fleet) -> None:
    before = {name: fleet.look(name) for name in (CANARY, FLEET)}
    process = fleet.begin()
    deadline = time.monotonic() + 300
    while not fleet.report(CANARY).get("begun") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    fleet.port.write_text(str(fleet.closed))
    output, unused = process.communicate()
    fleet.port.write_text(str(fleet.open))
    assert process.returncode == 4, output
    assert "The rollout has stopped in batch canary" in output
    assert f"? {CANARY}: was begun, and was no longer reached" in output
    assert f". not touched: {FLEET}" in output
    assert fleet.conditions() == {CANARY: "unreachable", FLEET: "never", AWAY: "unreachable"}
    assert before == {name: fleet.look(name) for name in (CANARY, FLEET)}


def test_a_canary_that_fails_stops_the_fleet(fleet: Fleet) -> None:
    canary = fleet.host(CANARY)
    canary.check_output(f"mkdir -p {SCOPE} && mount -t tmpfs -o ro none {SCOPE}")
    before = fleet.look(FLEET)
    code, output = fleet.harden("--limit", f"!{AWAY}")
    assert code == 2, output
    assert f'x {CANARY}: "Change the engine\'s configuration" failed:' in output
    assert "required and not enforced: pids_limit (absent), no_new_privileges (absent)" in output
    assert re.search(r"pids_limit: \d+  <- /sys/fs/cgroup/", output), "the evidence is named"
    assert f". not touched: {FLEET}" in output
    assert before == fleet.look(FLEET)
    report = fleet.report(CANARY)
    assert report["failure"]["task"] == "Change the engine's configuration" and not report["begun"]
    assert fleet.conditions()[CANARY] == "failing"
    assert canary.run("docker info").rc == 0 and not canary.file("/etc/docker/daemon.json").exists
    canary.check_output(f"umount {SCOPE}")


def test_once_mended_it_goes_on_until_the_next_host_that_is_not_proven(fleet: Fleet) -> None:
    second = fleet.host(FLEET)
    second.check_output(f"mkdir -p {SCOPE} && printf '[Scope]\\nTasksMax=50\\n' > {LATER}")
    code, output = fleet.harden("--limit", f"!{AWAY}")
    assert code == 2, output
    assert "Batch canary is proven: 1 of 2 hosts of this rollout" in output
    assert "The rollout has stopped in batch fleet" in output
    assert f"x {FLEET}: required and not enforced on {FLEET}: pids_limit" in output
    assert f"+ proven before: {CANARY}" in output
    assert fleet.conditions()[CANARY] == "proven" and fleet.conditions()[FLEET] == "failing"


def test_a_second_start_goes_on_where_it_stopped(fleet: Fleet) -> None:
    fleet.host(FLEET).check_output(f"rm {LATER} && systemctl daemon-reload")
    before = fleet.look(CANARY)
    code, output = fleet.harden()
    assert code == 4, output
    assert re.search(r"^  [A-Z] +1  canary +left out: as wanted, and proven$", output, re.MULTILINE), output
    assert not visited(output, CANARY) and visited(output, FLEET)
    assert before == fleet.look(CANARY)
    assert fleet.conditions() == {CANARY: "proven", FLEET: "proven", AWAY: "unreachable"}
    assert fleet.host(FLEET).check_output(f"cat {SCOPE}/10-bulkhead-pids.conf").count("TasksMax=100") == 1


def test_a_third_start_does_nothing(fleet: Fleet) -> None:
    before = {name: fleet.look(name) for name in (CANARY, FLEET)}
    code, output = fleet.harden("--limit", f"!{AWAY}")
    assert code == 0, output
    assert "There is nothing to do" in output
    assert "PLAY [Harden]" not in output or not (visited(output, CANARY) or visited(output, FLEET))
    assert before == {name: fleet.look(name) for name in (CANARY, FLEET)}


def test_an_engine_that_was_restarted_since_is_proven_anew(fleet: Fleet) -> None:
    fleet.host(CANARY).check_output("systemctl restart docker.service")
    code, output = fleet.harden("--limit", CANARY)
    assert code == 0, output
    assert "as wanted, and to be proven" in output
    assert visited(output, CANARY) and "changed: [" not in output


def test_one_layer_alone_is_rolled_out_and_demanded_alone(fleet: Fleet) -> None:
    wanted = ("--limit", CANARY, "--tags", "seccomp", "-e", "seccomp_profiles_layer=required", "-e", "userns_remap_layer=required")
    code, output = fleet.harden(*wanted)
    assert code == 0, output
    assert "Batch canary is proven" in output
    assert "userns (absent)" in fleet.report(CANARY)["not_enforced"], "the report says what else is required"
    assert fleet.conditions()[CANARY] == "failing"
    code, output = fleet.harden(*wanted)
    assert code == 0 and "There is nothing to do" in output, output
