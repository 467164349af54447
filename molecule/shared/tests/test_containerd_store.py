# SPDX-License-Identifier: GPL-3.0-or-later
"""The containerd image store on a host without remapping: a migration is a blocker of the plan, before anything is changed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from conftest import wait_for_engine
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
FILE = "/etc/docker/daemon.json"
# What a run that is not stopped by its plan would have created.
CREATED = "ls -d /var/lib/bulkhead /etc/apparmor.d/bulkhead-* /etc/docker/seccomp /var/lib/docker/231072.231072; grep dockremap /etc/subuid"


@pytest.fixture(scope="module")
def in_containerd(host: Host) -> Iterator[None]:
    """Let the engine use the containerd store, with one image and one container; then let it use overlay2 again."""
    assert not host.file(FILE).exists
    host.check_output(
        "mkdir -p /etc/docker; echo %s > %s; systemctl restart docker", '{"features": {"containerd-snapshotter": true}}', FILE
    )
    wait_for_engine(host)
    host.check_output("tar -c -T /dev/null | docker import - stored:1 && docker create --name stored stored:1 nothing")
    yield
    host.run("docker rm stored; docker rmi stored:1")
    host.check_output(f"rm {FILE}; systemctl restart docker")
    wait_for_engine(host)


def join_output(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())


def test_a_migration_is_blocked_before_anything_changes(host: Host, in_containerd: None, playbook: Playbook) -> None:
    before = host.run(CREATED).stdout
    done = playbook("harden", "-e", "userns_remap_existing_data=migrate")
    output = join_output(done)
    assert done.returncode != 0
    assert "images in containerd (overlayfs, namespace moby)" in output
    assert "has 1 image (stored:1" in output and "1 container (stored created)" in output
    assert "Nothing was changed. the engine keeps images with overlayfs of containerd, and only overlay2 can be migrated" in output
    assert host.run(CREATED).stdout == before


def test_a_restart_that_changes_the_store_is_blocked(host: Host, in_containerd: None, playbook: Playbook) -> None:
    """The engine rereads `features` at a reload, and changes the store with its next start."""
    host.check_output(f"echo '{{}}' > {FILE} && systemctl reload docker")
    done = playbook("harden", "--check", "--tags", "no_new_privileges")
    assert done.returncode != 0
    assert "no longer sees its images and containers; restore that setting" in join_output(done), done.stdout[-3000:]
