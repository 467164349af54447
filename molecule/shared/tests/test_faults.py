# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of `make faults`: no data are lost, and the next run reaches the desired state.

The tests share one host: a failed restart, a run that is killed during a migration, the migration itself, and the rollback.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import wait_for_engine
from testinfra.host import Host

from faults import markers

Playbook = Callable[..., subprocess.CompletedProcess[str]]
MIGRATE = ("-e", "userns_remap_existing_data=migrate")
RUNNING = frozenset(("keeper", "plain"))
REMAPPED = "/var/lib/docker/231072.231072"


class ScriptedMachine:
    """Runs the scripts of `faults` through testinfra."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def run_script(self, script: str, timeout: float = 600) -> Any:
        done = self.host.run("bash -c %s", script)
        return subprocess.CompletedProcess([], done.rc, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def machine(host: Host) -> ScriptedMachine:
    return ScriptedMachine(host)


@pytest.fixture(scope="module")
def before(machine: ScriptedMachine) -> dict[str, Any]:
    seeded = machine.run_script(markers.SEED)
    assert seeded.returncode == 0, seeded.stderr
    return markers.read_markers(machine)


@pytest.fixture
def fails_to_start(host: Host) -> Iterator[None]:
    """Make the engine fail to start with no-new-privileges."""
    folder = "/etc/systemd/system/docker.service.d"
    line = 'ExecStartPre=/bin/sh -c "! grep -q no-new-privileges /etc/docker/daemon.json"'
    host.check_output(f"mkdir -p {folder} && printf '[Service]\\n%s\\n' '{line}' > {folder}/fails.conf && systemctl daemon-reload")
    yield
    host.check_output(f"rm -r {folder} && systemctl daemon-reload")


def join_output(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())


def test_a_failed_restart_restores_the_previous_data_root(
    machine: ScriptedMachine, before: dict[str, Any], playbook: Playbook, fails_to_start: None
) -> None:
    done = playbook("harden", *MIGRATE)
    assert done.returncode != 0
    assert "the previous configuration is restored and the engine runs with it" in join_output(done), done.stdout[-3000:]
    after = markers.read_markers(machine)
    assert after["root"] == before["root"]
    assert markers.find_losses(before, after, RUNNING) == []
    assert ".231072.231072.undone-" in machine.run_script("ls -A /var/lib/docker").stdout
    machine.run_script("rm -r /var/lib/docker/.231072.231072.undone-*")


def test_the_next_run_recovers_from_a_killed_migration(
    host: Host, machine: ScriptedMachine, before: dict[str, Any], playbook: Playbook
) -> None:
    # With pipelining, the module's process has no name of its own. It is the process that holds the lock of Bulkhead.
    killer = """
        for _ in $(seq 3000); do
            if grep -qs '"move"' /var/lib/bulkhead/transactions/*/journal.json; then
                for process in $(pgrep python3); do
                    if ls -l /proc/$process/fd | grep -q /var/lib/bulkhead/lock; then module=$process; fi
                done
                while pidof dockerd; do sleep 0.05; done
                kill -KILL $module
                exit
            fi
            sleep 0.05
        done
    """
    host.check_output("rm -rf /var/lib/bulkhead/transactions/*; nohup bash -c %s >/dev/null 2>&1 &", killer)
    assert playbook("harden", *MIGRATE).returncode != 0
    assert host.run("pidof dockerd").rc != 0, "the module was killed while the engine was stopped"
    done = playbook("harden", *MIGRATE)
    assert done.returncode == 0, done.stdout[-4000:]
    after = markers.read_markers(machine)
    assert after["root"] == REMAPPED
    assert markers.find_losses(before, after, RUNNING) == []


def test_containers_write_only_to_the_remapped_data_root(host: Host, playbook: Playbook) -> None:
    host.check_output("docker exec keeper touch /data/new")
    volume = "volumes/marker-data/_data"
    assert host.check_output(f"stat -c %u {REMAPPED}/{volume}/new") == "231072"
    assert not host.file(f"/var/lib/docker/{volume}/new").exists
    assert host.check_output(f"stat -c %u:%g /var/lib/docker/{volume}/sub/owned") == "1000:1001"
    planned = playbook("finalize", "--check", "--diff")
    assert planned.returncode == 0 and "-/var/lib/docker/overlay2" in planned.stdout, planned.stdout
    assert "231072" not in planned.stdout
    assert host.file(f"/var/lib/docker/{volume}").exists


def test_a_rollback_restores_all_data(host: Host, machine: ScriptedMachine, before: dict[str, Any], playbook: Playbook) -> None:
    done = playbook("rollback", *MIGRATE)
    assert done.returncode == 0, done.stdout[-4000:]
    wait_for_engine(host)
    time.sleep(1)
    after = markers.read_markers(machine)
    assert after["root"] == before["root"]
    assert markers.find_losses(before, after, RUNNING) == []
    again = playbook("harden", *MIGRATE)
    assert again.returncode != 0
    assert "has been an engine's root before and contains 1 images, 3 containers, 2 volumes" in join_output(again), again.stdout[-3000:]


def read_configuration(host: Host) -> str:
    """Return the content of all files that a change of the engine's configuration writes."""
    return host.run("tail -n +1 /etc/docker/daemon.json /etc/systemd/system/docker-.scope.d/* /var/lib/bulkhead/daemon.json 2>&1").stdout


def test_the_last_change_is_reverted_to_the_byte(host: Host, machine: ScriptedMachine, before: dict[str, Any], playbook: Playbook) -> None:
    before_change = read_configuration(host)
    done = playbook("harden", "--tags", "pids_limit,no_new_privileges", "-e", "bulkhead_verify=false")
    assert done.returncode == 0, done.stdout[-3000:]
    changed = read_configuration(host)
    assert '"no-new-privileges": true' in changed and "TasksMax=512" in changed
    planned = playbook("rollback", "-e", "bulkhead_transaction=last", "--check", "--diff")
    assert planned.returncode == 0 and "no-new-privileges" in planned.stdout, planned.stdout[-3000:]
    assert read_configuration(host) == changed
    back = playbook("rollback", "-e", "bulkhead_transaction=last")
    assert back.returncode == 0, back.stdout[-3000:]
    assert read_configuration(host) == before_change
    wait_for_engine(host)
    assert markers.find_losses(before, markers.read_markers(machine), RUNNING) == []
    mistyped = playbook("rollback", "-e", "bulkhead_transaction=first")
    assert mistyped.returncode != 0 and "write last, or leave it out" in join_output(mistyped)


def test_finalize_removes_only_the_migrated_data_root(
    host: Host, machine: ScriptedMachine, before: dict[str, Any], playbook: Playbook
) -> None:
    host.check_output(f"rm -rf {REMAPPED}")  # the data root of the first migration, as the blocker says
    files = "touch own other && ln own again && chown 33:33 own && chmod 4755 own && chown 1000:1001 other"
    host.check_output(f"mkdir -p '/srv/the data' && cd '/srv/the data' && {files}")
    host.check_output("docker run -d --name binder --network none -v '/srv/the data:/data' marker-image")
    done = playbook("harden", "--tags", "userns", *MIGRATE, "-e", "bulkhead_verify=false")
    assert done.returncode == 0, done.stdout[-4000:]
    command = re.search(r"find '/srv/the data' .*? sh \{\} \+", join_output(done))
    assert command, done.stdout[-4000:]
    for unused in range(2):  # the second time there is nothing to do
        host.check_output("sh -c %s", command[0])
        seen = host.check_output("docker exec binder ls -ln /data")
        assert re.search(r"-rwsr-xr-x +2 +33 +33 .* own\n", seen + "\n") and re.search(r" 1000 +1001 .* other", seen), seen
    host.check_output("docker rm -f binder")
    done = playbook("finalize")
    assert done.returncode == 0, done.stdout[-3000:]
    assert host.check_output("ls -A /var/lib/docker") == "231072.231072"
    host.check_output("systemctl restart docker")
    wait_for_engine(host)
    after = markers.read_markers(machine)
    assert after["root"] == REMAPPED
    assert markers.find_losses(before, after, frozenset(["keeper"])) == []
    blocked = playbook("rollback", "--tags", "userns", *MIGRATE)
    assert blocked.returncode != 0 and "would become invisible" in join_output(blocked), blocked.stdout[-3000:]
