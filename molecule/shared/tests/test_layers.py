# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel enforces every layer on a container without options. The tests read it with other means than the project's own module."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.tried_versions import TRIED
from conftest import PLAIN, Verification
from testinfra.host import Host


def read_status_field(host: Host, pid: int, name: str) -> str:
    return host.check_output(f"awk '/^{name}:/ {{print $2}}' /proc/{pid}/status")


def test_root_in_the_container_has_no_rights_on_the_host(host: Host, pid: int) -> None:
    for name in ("uid_map", "gid_map"):
        assert host.file(f"/proc/{pid}/{name}").content_string.split() == ["0", "231072", "65536"]
    assert host.file("/etc/subuid").contains("^dockremap:231072:65536$")
    assert host.file("/etc/subgid").contains("^dockremap:231072:65536$")
    assert read_status_field(host, pid, "Uid") == "231072"


def test_the_pids_limit_is_enforced(host: Host, pid: int) -> None:
    cgroup = host.check_output(f"cut -d: -f3 /proc/{pid}/cgroup")
    assert host.file(f"/sys/fs/cgroup{cgroup}/pids.max").content_string.strip() == "512"


def test_a_fork_bomb_ends_at_the_limit(host: Host, plain: dict[str, Any]) -> None:
    # A task is a copy of the shell that waits for input from a terminal. It starts much faster than a program.
    script = "exec 3<>/dev/ptmx; i=0; while [ $i -lt 600 ]; do read line <&3 & i=$((i + 1)); echo $i; done"
    done = host.run(f"docker run --rm --network none testimage sh -c '{script}'")
    assert done.rc != 0 and "ork" in done.stderr, done.stderr  # "Cannot fork"
    assert done.stdout.split()[-1] == "511"  # the shell is the first task


def test_no_new_privileges(host: Host, pid: int) -> None:
    assert read_status_field(host, pid, "NoNewPrivs") == "1"


def test_seccomp_uses_the_managed_profile(host: Host, pid: int) -> None:
    assert read_status_field(host, pid, "Seccomp") == "2"
    configured = json.loads(host.file("/etc/docker/daemon.json").content_string)["seccomp-profile"]
    profile = host.file(configured)
    assert (profile.user, profile.group, profile.mode) == ("root", "root", 0o644)
    assert json.loads(profile.content_string)["defaultAction"] == "SCMP_ACT_ERRNO"


def test_apparmor_confines_the_container(host: Host, pid: int) -> None:
    assert host.file(f"/proc/{pid}/attr/current").content_string.strip("\0\n ") == "docker-default (enforce)"
    assert "bulkhead-web (enforce)" in host.file("/sys/kernel/security/apparmor/profiles").content_string


def test_a_container_works_under_the_web_profile(host: Host, plain: dict[str, Any]) -> None:
    host.check_output(
        "docker run -d --network none --name web --security-opt apparmor=bulkhead-web testimage sh -c 'trap \"exit 7\" TERM; sleep infinity & wait'"
    )
    try:
        assert host.check_output("docker exec web cat /proc/1/attr/current").strip("\0\n ") == "bulkhead-web (enforce)"
        host.check_output("docker stop -t 20 web")
        assert host.check_output("docker inspect -f '{{.State.ExitCode}}' web") == "7"
    finally:
        host.run("docker rm -f web")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("userns-remap", "default"),
        ("no-new-privileges", True),
        ("icc", False),
        ("live-restore", True),
        ("userland-proxy", False),
        ("log-opts", {"max-size": "10m", "max-file": "3"}),
    ],
)
def test_the_engine_is_configured(host: Host, key: str, value: Any) -> None:
    assert json.loads(host.file("/etc/docker/daemon.json").content_string)[key] == value


def test_only_root_reads_the_state_of_bulkhead(host: Host) -> None:
    folder = host.file("/var/lib/bulkhead")
    assert (folder.user, folder.mode) == ("root", 0o700)


def test_verification_agrees_and_leaves_nothing_behind(host: Host, plain: dict[str, Any], verify: Callable[..., Verification]) -> None:
    before = host.check_output(
        "docker ps -aq --no-trunc; docker images -aq --no-trunc; docker volume ls -q; sha256sum /etc/docker/daemon.json /etc/subuid"
    )
    verification = verify()
    assert verification.code == 0, verification.output
    status = verification.status()
    assert {name for name, value in status.items() if value == "enforced"} == {
        "pids_limit", "no_new_privileges", "seccomp", "apparmor", "userns", "capabilities", "files",
    }, verification.output  # fmt: skip
    assert status["audit_rules"] == "absent"  # no auditd runs
    assert verification.container(PLAIN)["disagreements"] == []
    # A newer version of forky is only a notice, until it is in the table of layers/tried_versions.py.
    assert set(verification.report["verification"]["versions"]) == {row.name for row in TRIED} - {"crun"}
    after = host.check_output(
        "docker ps -aq --no-trunc; docker images -aq --no-trunc; docker volume ls -q; sha256sum /etc/docker/daemon.json /etc/subuid"
    )
    assert after == before
