# SPDX-License-Identifier: GPL-3.0-or-later
"""finalize.yml after a migration of images in containerd: it removes what was migrated, and nothing of other namespaces."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from conftest import wait_for_engine
from test_containerd_store import REMAPPED, RUNNING, in_containerd, join_output  # noqa: F401  (in_containerd is a fixture)
from test_faults import ScriptedMachine
from testinfra.host import Host

from faults import markers
from faults.cases import MIGRATE_IMAGES

Playbook = Callable[..., subprocess.CompletedProcess[str]]
# An image that the namespace of Kubernetes shares with the engine, down to the layers.
OTHER = "k8s.io"
SHARE = f"docker image save marker-image | ctr --namespace {OTHER} images import --no-unpack -"
SHARED = f"""
cd $(mktemp -d)
for name in $(ctr --namespace {OTHER} images ls -q); do ctr --namespace {OTHER} images export - $name | tar -x; done
cd blobs/sha256 && sha256sum *
"""
ADDED = "docker.io/library/added:1"


def list_images(host: Host, namespace: str) -> list[str]:
    return host.check_output(f"ctr --namespace {namespace} images ls -q").split()


@pytest.fixture(scope="module")
def shared(host: Host, in_containerd: dict[str, Any]) -> str:  # noqa: F811  (a fixture)
    """Create an image in another namespace and return its content."""
    host.check_output(SHARE)
    return host.check_output(SHARED)


def test_images_that_came_later_stop_finalize(host: Host, shared: str, playbook: Playbook) -> None:
    done = playbook("harden", *MIGRATE_IMAGES)
    assert done.returncode == 0, done.stdout[-4000:]
    (present,) = list_images(host, "moby")
    host.check_output(f"ctr --namespace moby images tag {present} {ADDED}")
    done = playbook("finalize")
    assert done.returncode != 0
    assert "containerd's namespace moby has other images than were migrated, and nothing is removed" in join_output(done), done.stdout
    assert sorted(list_images(host, "moby")) == sorted((ADDED, present))
    assert host.file("/var/lib/docker/volumes/marker-data").exists
    host.check_output(f"ctr --namespace moby images rm {ADDED}")


def test_check_mode_names_what_finalize_removes(host: Host, shared: str, playbook: Playbook) -> None:
    before = list_images(host, "moby")
    planned = playbook("finalize", "--check", "--diff")
    assert planned.returncode == 0, planned.stdout[-3000:]
    assert "-/var/lib/docker/volumes" in planned.stdout and f"-image {before[0]} in containerd" in planned.stdout, planned.stdout
    assert REMAPPED not in planned.stdout
    assert list_images(host, "moby") == before


def test_finalize_removes_the_migrated_images_only(
    host: Host,
    in_containerd: dict[str, Any],  # noqa: F811  (a fixture)
    shared: str,
    playbook: Playbook,
) -> None:
    done = playbook("finalize")
    assert done.returncode == 0, done.stdout[-4000:]
    assert list_images(host, "moby") == []
    assert host.check_output("ctr --namespace moby containers ls -q; ctr --namespace moby leases ls -q") == ""
    assert host.check_output("ls -A /var/lib/docker") == REMAPPED.rpartition("/")[2]
    assert host.check_output(SHARED) == shared
    host.check_output("systemctl restart docker")
    wait_for_engine(host)
    after = markers.read_markers(ScriptedMachine(host))
    assert after["root"] == REMAPPED
    assert markers.find_losses(in_containerd, after, RUNNING - {"plain"}, other_ids=True) == []
