# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.controls.host_facts import (
    decode_address,
    list_group_members,
    read_content_trust,
    read_mount,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.controls.images import describe_image
from ansible_collections.bulkhead.docker.plugins.module_utils.controls.swarm import read_swarm
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0100007F:0947", "127.0.0.1:2375"),
        ("00000000:0948", "0.0.0.0:2376"),
        ("00000000000000000000000000000000:0947", "[::]:2375"),
        ("00000000000000000000000001000000:0947", "[::1]:2375"),
    ],
)
def test_addresses_of_the_kernel(text: str, expected: str) -> None:
    assert decode_address(text) == expected


def test_members_by_list_and_by_primary_group(tmp_path: Path) -> None:
    host = write_files(tmp_path, {"etc/group": "docker:x:99:bob,alice\n", "etc/passwd": "carol:x:5:99::/:/bin/sh\ndave:x:6:6::/:/bin/sh\n"})
    assert list_group_members(host, "docker") == ["alice", "bob", "carol"]
    assert list_group_members(host, "other") is None


def test_the_mount_of_a_path(tmp_path: Path) -> None:
    text = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 20 8:2 / /var/lib/docker rw - xfs /dev/sdb rw\n"
    host = write_files(tmp_path, {"proc/1/mountinfo": text})
    assert read_mount(host, "/var/lib/docker/1.1") == {"path": "/var/lib/docker/1.1", "point": "/var/lib/docker", "type": "xfs"}
    assert read_mount(host, "/var/lib/other")["point"] == "/"


def test_content_trust_of_every_session(tmp_path: Path) -> None:
    assert read_content_trust(write_files(tmp_path, {"etc/environment": 'A=1\nDOCKER_CONTENT_TRUST="1"\n'})) == "1"
    assert read_content_trust(Host(tmp_path / "none")) is None


def test_images_are_described_by_their_metadata() -> None:
    config = {"User": "app", "Env": ["DB_PASSWORD=x", "PATH=/"], "Healthcheck": {"Test": ["CMD", "true"]}}
    history = [
        {"CreatedBy": "RUN /bin/sh -c apt-get update # buildkit"},
        {"CreatedBy": "RUN /bin/sh -c apt-get update && apt-get install -y x # buildkit"},
        {"CreatedBy": "ADD https://example.org/x / # buildkit"},
        {"CreatedBy": "/bin/sh -c #(nop) ADD file:1 in / "},
    ]
    found = describe_image({"Id": "sha256:1", "RepoTags": ["web:1"]}, {"Config": config}, history)
    assert found == {
        "id": "sha256:1",
        "tags": ["web:1"],
        "user": "app",
        "health_check": True,
        "secret_names": 1,
        "adds": 1,
        "updates_alone": 1,
    }


def test_an_image_without_a_configuration() -> None:
    found = describe_image({"Id": "sha256:1"}, {"Config": None}, [])
    assert not found["health_check"]
    assert found["user"] == ""


def test_a_manager_describes_its_swarm() -> None:
    answers: dict[str, Any] = {
        "/swarm": {"Spec": {"EncryptionConfig": {"AutoLockManagers": True}, "CAConfig": {"NodeCertExpiry": 7776000000000000}}},
        "/networks": [{"Name": "a", "Options": {"encrypted": ""}}, {"Name": "b", "Options": None}, {"Name": "ingress", "Ingress": True}],
        "/services": [{"Spec": {"Name": "s", "TaskTemplate": {"ContainerSpec": {"Env": ["API_TOKEN=1"]}}}}],
    }
    found = read_swarm(lambda path, **query: answers[path], {"LocalNodeState": "active", "ControlAvailable": True, "Managers": 1})
    assert (found["auto_lock"], found["certificate_days"], found["plain_networks"], found["exposed_services"]) == (True, 90, ["b"], ["s"])
    assert read_swarm(lambda path, **query: answers[path], {"LocalNodeState": "inactive"}) == {"active": False, "manager": False}
