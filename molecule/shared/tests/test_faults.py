# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of `make faults`: what runs before a fault is there after it, and the next run comes to the end that the first one wanted.

One host all along: a restart that fails, a run that is killed in the middle of a migration, the migration itself, and the way back.
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
RUNS = frozenset(("keeper", "plain"))
REMAPPED = "/var/lib/docker/231072.231072"


class Machine:
    """Runs the scripts of `faults` through testinfra."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def run(self, script: str, timeout: float = 600) -> Any:
        done = self.host.run("bash -c %s", script)
        return subprocess.CompletedProcess([], done.rc, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def machine(host: Host) -> Machine:
    return Machine(host)


@pytest.fixture(scope="module")
def before(machine: Machine) -> dict[str, Any]:
    seeded = machine.run(markers.SEED)
    assert seeded.returncode == 0, seeded.stderr
    return markers.look(machine)


@pytest.fixture
def fails_to_start(host: Host) -> Iterator[None]:
    """The engine does not start with a configuration that has no-new-privileges."""
    folder = "/etc/systemd/system/docker.service.d"
    line = 'ExecStartPre=/bin/sh -c "! grep -q no-new-privileges /etc/docker/daemon.json"'
    host.check_output(f"mkdir -p {folder} && printf '[Service]\\n%s\\n' '{line}' > {folder}/fails.conf && systemctl daemon-reload")
    yield
    host.check_output(f"rm -r {folder} && systemctl daemon-reload")


def words(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())


def test_a_migration_whose_restart_fails_leaves_the_old_root(
    machine: Machine, before: dict[str, Any], playbook: Playbook, fails_to_start: None
) -> None:
    done = playbook("harden", *MIGRATE)
    assert done.returncode != 0
    assert "the previous configuration is back and the engine runs with it" in words(done), done.stdout[-3000:]
    after = markers.look(machine)
    assert after["root"] == before["root"]
    assert markers.lost(before, after, RUNS) == []
    assert ".231072.231072.undone-" in machine.run("ls -A /var/lib/docker").stdout
    machine.run("rm -r /var/lib/docker/.231072.231072.undone-*")


def test_a_run_that_is_killed_in_the_middle_of_a_migration_is_undone_by_the_next_and_nothing_is_lost(
    host: Host, machine: Machine, before: dict[str, Any], playbook: Playbook
) -> None:
    # With pipelining a module's process has no name of its own; it is the one that holds our lock.
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
    assert host.run("pidof dockerd").rc != 0, "it was killed while the engine was out of the way"
    done = playbook("harden", *MIGRATE)
    assert done.returncode == 0, done.stdout[-4000:]
    after = markers.look(machine)
    assert after["root"] == REMAPPED
    assert markers.lost(before, after, RUNS) == []


def test_what_containers_write_goes_to_the_remapped_root_and_the_old_one_stays(host: Host, playbook: Playbook) -> None:
    host.check_output("docker exec keeper touch /data/new")
    volume = "volumes/marker-data/_data"
    assert host.check_output(f"stat -c %u {REMAPPED}/{volume}/new") == "231072"
    assert not host.file(f"/var/lib/docker/{volume}/new").exists
    assert host.check_output(f"stat -c %u:%g /var/lib/docker/{volume}/sub/owned") == "1000:1001"
    foreseen = playbook("finalize", "--check", "--diff")
    assert foreseen.returncode == 0 and "-/var/lib/docker/overlay2" in foreseen.stdout, foreseen.stdout
    assert "231072" not in foreseen.stdout
    assert host.file(f"/var/lib/docker/{volume}").exists


def test_going_back_brings_everything_back_as_it_was(host: Host, machine: Machine, before: dict[str, Any], playbook: Playbook) -> None:
    done = playbook("rollback", *MIGRATE)
    assert done.returncode == 0, done.stdout[-4000:]
    wait_for_engine(host)
    time.sleep(1)
    after = markers.look(machine)
    assert after["root"] == before["root"]
    assert markers.lost(before, after, RUNS) == []
    again = playbook("harden", *MIGRATE)
    assert again.returncode != 0
    assert "has been an engine's root already, and holds 1 images, 3 containers, 2 volumes" in words(again), again.stdout[-3000:]


def configuration(host: Host) -> str:
    """The bytes of all files of which a change of the engine's configuration consists."""
    return host.run("tail -n +1 /etc/docker/daemon.json /etc/systemd/system/docker-.scope.d/* /var/lib/bulkhead/daemon.json 2>&1").stdout


def test_the_last_change_alone_is_taken_back_to_the_byte(host: Host, machine: Machine, before: dict[str, Any], playbook: Playbook) -> None:
    was = configuration(host)
    done = playbook("harden", "--tags", "pids_limit,no_new_privileges", "-e", "bulkhead_verify=false")
    assert done.returncode == 0, done.stdout[-3000:]
    changed = configuration(host)
    assert '"no-new-privileges": true' in changed and "TasksMax=100" in changed
    foreseen = playbook("rollback", "-e", "bulkhead_transaction=last", "--check", "--diff")
    assert foreseen.returncode == 0 and "no-new-privileges" in foreseen.stdout, foreseen.stdout[-3000:]
    assert configuration(host) == changed
    back = playbook("rollback", "-e", "bulkhead_transaction=last")
    assert back.returncode == 0, back.stdout[-3000:]
    assert configuration(host) == was
    wait_for_engine(host)
    assert markers.lost(before, markers.look(machine), RUNS) == []
    mistyped = playbook("rollback", "-e", "bulkhead_transaction=first")
    assert mistyped.returncode != 0 and "write last, or leave it out" in words(mistyped)


def test_finalizing_removes_the_old_root_for_good_and_nothing_else(
    host: Host, machine: Machine, before: dict[str, Any], playbook: Playbook
) -> None:
    host.check_output(f"rm -rf {REMAPPED}")  # where the first migration went, as the refusal says
    files = "touch own theirs && ln own again && chown 33:33 own && chmod 4755 own && chown 1000:1001 theirs"
    host.check_output(f"mkdir -p '/srv/the data' && cd '/srv/the data' && {files}")
    host.check_output("docker run -d --name binder --network none -v '/srv/the data:/data' marker-image")
    done = playbook("harden", "--tags", "userns", *MIGRATE, "-e", "bulkhead_verify=false")
    assert done.returncode == 0, done.stdout[-4000:]
    command = re.search(r"find '/srv/the data' .*? sh \{\} \+", words(done))
    assert command, done.stdout[-4000:]
    for unused in range(2):  # the second time it finds nothing to do
        host.check_output("sh -c %s", command[0])
        seen = host.check_output("docker exec binder ls -ln /data")
        assert re.search(r"-rwsr-xr-x +2 +33 +33 .* own\n", seen + "\n") and re.search(r" 1000 +1001 .* theirs", seen), seen
    host.check_output("docker rm -f binder")
    done = playbook("finalize")
    assert done.returncode == 0, done.stdout[-3000:]
    assert host.check_output("ls -A /var/lib/docker") == "231072.231072"
    host.check_output("systemctl restart docker")
    wait_for_engine(host)
    after = markers.look(machine)
    assert after["root"] == REMAPPED
    assert markers.lost(before, after, frozenset(["keeper"])) == []
    refused = playbook("rollback", "--tags", "userns", *MIGRATE)
    assert refused.returncode != 0 and "would become invisible" in words(refused), refused.stdout[-3000:]
