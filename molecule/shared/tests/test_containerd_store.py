# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in containerd: they are migrated to overlay2 of the remapped data root, and the way back finds them as they were."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import wait_for_engine
from test_faults import ScriptedMachine
from testinfra.host import Host

from faults import markers
from faults.cases import MIGRATE_IMAGES

Playbook = Callable[..., subprocess.CompletedProcess[str]]
FILE = "/etc/docker/daemon.json"
REMAPPED = "/var/lib/docker/231072.231072"
RUNNING = frozenset(("keeper", "plain"))
# What a run that is not stopped by its plan would have created.
CREATED = "ls -d /var/lib/bulkhead /etc/apparmor.d/bulkhead-* /etc/docker/seccomp /var/lib/docker/231072.231072; grep dockremap /etc/subuid"
REMOVE = """
docker rm -f $(docker ps -aq); docker rmi marker-image; docker volume rm marker-data marker-options; docker network rm marker-net
"""


@pytest.fixture(scope="module")
def in_containerd(host: Host) -> Iterator[dict[str, Any]]:
    """Let the engine use the containerd store and create the markers there; then let it use overlay2 again, without data."""
    assert not host.file(FILE).exists
    machine = ScriptedMachine(host)
    done = machine.run_script(markers.USE_CONTAINERD + markers.SEED)
    assert done.returncode == 0, done.stderr
    yield markers.read_markers(machine)
    host.run("bash -c %s", REMOVE)
    host.check_output(f"rm -r {FILE} {REMAPPED}; systemctl restart docker")
    wait_for_engine(host)


def join_output(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())


def test_a_store_that_would_not_be_used_is_a_blocker(host: Host, in_containerd: dict[str, Any], playbook: Playbook) -> None:
    before = host.run(CREATED).stdout
    done = playbook("harden", "-e", "userns_remap_existing_data=migrate")
    output = join_output(done)
    assert done.returncode != 0
    assert "images in containerd (overlayfs, namespace moby)" in output
    assert "has 1 image (marker-image:latest" in output and "3 containers" in output
    assert "containerd-snapshotter: true: the migrated images are in overlay2" in output, done.stdout[-3000:]
    assert host.run(CREATED).stdout == before


def test_a_restart_that_changes_the_store_is_blocked(host: Host, in_containerd: dict[str, Any], playbook: Playbook) -> None:
    """The engine rereads `features` at a reload, and changes the store with its next start."""
    original = host.check_output(f"cat {FILE}")
    host.check_output(f"echo '{{}}' > {FILE} && systemctl reload docker")
    done = playbook("harden", "--check", "--tags", "no_new_privileges")
    host.check_output("echo %s > %s && systemctl reload docker", original, FILE)
    assert done.returncode != 0
    assert "no longer sees its images and containers; restore that setting" in join_output(done), done.stdout[-3000:]


def test_images_in_containerd_are_migrated_to_overlay2(host: Host, in_containerd: dict[str, Any], playbook: Playbook) -> None:
    done = playbook("harden", *MIGRATE_IMAGES)
    assert done.returncode == 0, done.stdout[-4000:]
    after = markers.read_markers(ScriptedMachine(host))
    assert after["root"] == REMAPPED
    assert markers.find_losses(in_containerd, after, RUNNING, other_ids=True) == []
    assert host.check_output("docker info -f {{.Driver}}") == "overlay2"
    assert "manifest.json" in host.check_output("docker image save marker-image | tar -t"), "the engine restores the archives of layers"


def test_the_way_back_finds_everything_in_containerd(host: Host, in_containerd: dict[str, Any], playbook: Playbook) -> None:
    blocked = playbook("rollback", "--tags", "userns", "-e", "userns_remap_existing_data=migrate", "--check")
    assert blocked.returncode != 0 and "have their images in containerd" in join_output(blocked), blocked.stdout[-3000:]
    done = playbook("rollback", "-e", "userns_remap_existing_data=migrate")
    assert done.returncode == 0, done.stdout[-4000:]
    wait_for_engine(host)
    assert markers.find_losses(in_containerd, markers.read_markers(ScriptedMachine(host)), RUNNING) == []
