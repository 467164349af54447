# SPDX-License-Identifier: GPL-3.0-or-later
"""rollback.yml restores the host as it was. This file runs last, because it removes the hardening."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from conftest import MAKE_IMAGE, wait_for_engine
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
MANAGED = ("/etc/docker/daemon.json", "/etc/systemd/system/docker-.scope.d/10-bulkhead-pids.conf", "/etc/apparmor.d/bulkhead-web")


@pytest.fixture(scope="module", autouse=True)
def _rolled_back(host: Host, playbook: Playbook) -> None:
    host.check_output(MAKE_IMAGE)
    blocked = playbook("rollback", "--check")
    assert blocked.returncode != 0 and "testimage:latest" in blocked.stdout, blocked.stdout[:3000]
    host.check_output("docker rmi testimage")
    list_state = f"sha256sum {' '.join(MANAGED)}; systemctl show docker -p MainPID"
    before = host.check_output(list_state)
    planned = playbook("rollback", "--check")
    assert planned.returncode == 0, planned.stdout
    assert "remove the default PIDs limit" in planned.stdout
    assert host.check_output(list_state) == before, "check mode changed the host"
    done = playbook("rollback")
    assert done.returncode == 0, done.stdout[-4000:]
    wait_for_engine(host)


@pytest.mark.parametrize("path", MANAGED)
def test_files_that_did_not_exist_before_are_removed(host: Host, path: str) -> None:
    assert not host.file(path).exists


def test_no_managed_profile_is_left(host: Host) -> None:
    assert "bulkhead" not in host.check_output("cat /sys/kernel/security/apparmor/profiles; find /etc -name '*bulkhead*'")


def test_the_engine_is_no_longer_remapped(host: Host) -> None:
    assert "userns" not in host.check_output("docker info --format '{{.SecurityOptions}}'")
    assert host.check_output("docker info --format '{{.DockerRootDir}}'") == "/var/lib/docker"


def test_a_second_rollback_changes_nothing(playbook: Playbook) -> None:
    again = playbook("rollback")
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout[-2000:]
