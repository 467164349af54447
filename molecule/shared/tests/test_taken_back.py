# SPDX-License-Identifier: GPL-3.0-or-later
"""rollback.yml gives back the host that was there before: runs last, as nothing of the hardening is left after it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from conftest import MAKE_IMAGE, wait_for_engine
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
OURS = ("/etc/docker/daemon.json", "/etc/systemd/system/docker-.scope.d/10-bulkhead-pids.conf", "/etc/apparmor.d/bulkhead-web")


@pytest.fixture(scope="module", autouse=True)
def _rolled_back(host: Host, playbook: Playbook) -> None:
    host.check_output(MAKE_IMAGE)
    refused = playbook("rollback", "--check")
    assert refused.returncode != 0 and "testimage:latest" in refused.stdout, refused.stdout[:3000]
    host.check_output("docker rmi testimage")
    look = f"sha256sum {' '.join(OURS)}; systemctl show docker -p MainPID"
    before = host.check_output(look)
    foreseen = playbook("rollback", "--check")
    assert foreseen.returncode == 0, foreseen.stdout
    assert "remove the default PIDs limit" in foreseen.stdout
    assert host.check_output(look) == before, "check mode touched the host"
    done = playbook("rollback")
    assert done.returncode == 0, done.stdout[-4000:]
    wait_for_engine(host)


@pytest.mark.parametrize("path", OURS)
def test_what_was_not_there_before_is_gone(host: Host, path: str) -> None:
    assert not host.file(path).exists


def test_no_profile_of_ours_is_left(host: Host) -> None:
    assert "bulkhead" not in host.check_output("cat /sys/kernel/security/apparmor/profiles; find /etc -name '*bulkhead*'")


def test_the_engine_is_no_longer_remapped(host: Host) -> None:
    assert "userns" not in host.check_output("docker info --format '{{.SecurityOptions}}'")
    assert host.check_output("docker info --format '{{.DockerRootDir}}'") == "/var/lib/docker"


def test_a_second_rollback_finds_nothing_to_do(playbook: Playbook) -> None:
    again = playbook("rollback")
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout[-2000:]
