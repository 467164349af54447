# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recording knows of a container from its inspection."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import instances

from ...builders import write_files

INFO = {"SecurityOptions": ["name=apparmor", "name=seccomp,profile=/etc/docker/seccomp/bulkhead-default.json", "name=userns"]}
PLAIN = {"SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"]}
PROFILES = {instances.normalise_profile('{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}'): "web"}
INSPECT: dict[str, Any] = {
    "Id": "a" * 64,
    "Name": "/shop-web-1",
    "Image": "sha256:1234",
    "Path": "nginx",
    "Args": ["-g", "daemon off;"],
    "AppArmorProfile": "docker-default",
    "Config": {
        "Image": "shop:1",
        "User": "app",
        "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "secret": "x"},
        "Healthcheck": {"Test": ["CMD-SHELL", "curl -f localhost"]},
    },
    "HostConfig": {
        "CapDrop": ["ALL"],
        "CapAdd": ["CHOWN"],
        "ReadonlyRootfs": True,
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "81"}], "9/udp": None},
        "Tmpfs": {"/tmp": "rw,noexec"},
        "SecurityOpt": ["no-new-privileges:true"],
    },
    "Mounts": [
        {"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data", "Destination": "/data", "RW": True},
        {"Type": "bind", "Source": "/srv/x", "Destination": "/etc/x", "RW": False},
    ],
    "NetworkSettings": {"Networks": {"front": {}, "back": {}}},
}


def test_an_inspection_is_described() -> None:
    found = instances.describe_container(INSPECT, INFO, {"label": "docker-default (enforce)", "seccomp": 2}, {}, False)
    assert found == {
        "name": "shop-web-1",
        "image": "shop:1",
        "image_id": "sha256:1234",
        "labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"},
        "user": "app",
        "seccomp": "bulkhead-default",
        "apparmor": "docker-default",
        "no_new_privileges": True,
        "userns": "remap",
        "read_only": True,
        "capabilities": ["cap_chown"],
        "networks": ["back", "front"],
        "ports": ["127.0.0.1:81:80/tcp", "8080:80/tcp"],
        "mounts": [
            {"destination": "/data", "type": "volume", "source": "data", "read_only": False},
            {"destination": "/etc/x", "type": "bind", "source": "/srv/x", "read_only": True},
            {"destination": "/tmp", "type": "tmpfs", "source": "", "read_only": False},
        ],
        "command": ["nginx", "-g", "daemon off;"],
    }
    assert set(found) == {*instances.NOT_INSPECTED, "name"}


def test_an_empty_inspection_is_described() -> None:
    found = instances.describe_container({"Id": "a" * 64}, {}, {}, {}, True)
    assert (found["name"], found["userns"], found["apparmor"], found["command"]) == ("a" * 12, "rootless", "unconfined", [""])


@pytest.mark.parametrize(
    ("options", "privileged", "mode", "info", "name"),
    [
        ([], False, 2, INFO, "bulkhead-default"),
        ([], False, 2, PLAIN, "builtin"),
        ([], False, 2, {"SecurityOptions": ["name=seccomp,profile=default"]}, "builtin"),
        ([], False, None, {}, "unconfined"),
        ([], True, 2, INFO, "unconfined"),
        ([], False, 0, INFO, "unconfined"),
        (["seccomp=unconfined"], False, None, INFO, "unconfined"),
        (["seccomp:unconfined"], False, None, INFO, "unconfined"),
        (["seccomp=builtin"], False, 2, INFO, "builtin"),
        (['seccomp={"syscalls":[],"defaultAction":"SCMP_ACT_ERRNO"}'], False, 2, INFO, "web"),
        (['seccomp={"defaultAction":"SCMP_ACT_LOG"}'], False, 2, INFO, "custom"),
        (["seccomp=not JSON"], False, 2, INFO, "custom"),
    ],
)
def test_seccomp_profiles_have_names(options: list[str], privileged: bool, mode: int | None, info: dict[str, Any], name: str) -> None:
    assert instances.name_seccomp(options, privileged, info, PROFILES, mode) == name


@pytest.mark.parametrize(
    ("options", "default", "expected"),
    [
        ([], False, False),
        ([], True, True),
        (["no-new-privileges"], False, True),
        (["no-new-privileges:true"], False, True),
        (["no-new-privileges=false"], True, False),
    ],
)
def test_no_new_privileges(options: list[str], default: bool, expected: bool) -> None:
    info = {"SecurityOptions": ["name=no-new-privileges"] if default else []}
    assert instances.has_no_new_privileges(options, info) is expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"Healthcheck": {"Test": ["CMD", "pg_isready", "-q"]}}, ["pg_isready -q"]),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "true || false"]}}, ["/bin/sh -c true || false"]),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "true"]}, "Shell": ["/bin/bash", "-lc"]}, ["/bin/bash -lc true"]),
        ({"Healthcheck": {"Test": ["NONE"]}}, []),
        ({}, []),
    ],
)
def test_commands_of_health_checks(config: dict[str, Any], expected: list[str]) -> None:
    assert instances.list_health_commands({"Config": config}) == expected


def test_folders_of_changes_and_mount_points_are_left_out() -> None:
    paths = ["/var", "/var/lib", "/var/lib/app", "/var/lib/app/one", "/data", "/data/left", "/srv", "/srv/volume"]
    mounts = [{"destination": "/data"}, {"destination": "/srv/volume"}]
    assert instances.reduce_paths(paths, mounts) == ["/var/lib/app/one"]
    assert instances.reduce_paths(["/tmp/x"], mounts, ["/var/lib/app/one", "/tmp"]) == ["/tmp/x", "/var/lib/app/one"]


def test_too_many_changes_become_their_folders() -> None:
    paths = [f"/cache/{number % 7}/{number}" for number in range(3_000)]
    assert instances.reduce_paths(paths, []) == [f"/cache/{number}" for number in range(7)]
    assert len(instances.reduce_paths([f"/{number}" for number in range(3_000)], [])) == instances.MAX_WRITTEN


def test_peaks_are_read(host: Host) -> None:
    write_files(host, {"/sys/fs/cgroup/x/pids.peak": "7\n"})
    assert instances.read_peaks(host, "/sys/fs/cgroup/x") == {"pids": 7, "memory": None}
