# SPDX-License-Identifier: GPL-3.0-or-later
"""Does every layer hold in the user's engine? Asked through the user's own client, and of the kernel by other means than our module."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from rootless import PROFILE, USER, User, confinement, label
from testinfra.host import Host

STUBBORN = "sh -c 'trap \"exit 7\" TERM; while :; do sleep 0.1; done'"


@pytest.fixture(scope="module")
def user(host: Host) -> User:
    there = User(host)
    there.image()
    return there


@pytest.fixture(scope="module")
def plain(user: User) -> Iterator[int]:
    """A container that asks for no security option, but for limits that need delegated controllers; its PID."""
    user.run("docker rm -f plain")
    limits = "--memory 64m --cpus 0.5 --cpuset-cpus 0 --health-cmd 'cat /proc/self/attr/current' --health-interval 2s"
    user.output(f"docker run -d --name plain --restart always {limits} testimage {STUBBORN}")
    yield user.pid("plain")
    user.run("docker rm -f plain")


def test_the_kernel_confines_a_container_that_asks_for_nothing(host: Host, user: User, plain: int) -> None:
    seen = confinement(host, plain)
    cgroup = seen.pop("cgroup")
    assert seen == {
        "Uid": str(user.uid),
        "NoNewPrivs": "1",
        "Seccomp": "2",
        "pids.max": "100",
        "label": f"{PROFILE} (enforce)",
        "uid_map": f"0 {user.uid} 1 1 296608 65536",
    }
    assert cgroup.startswith(f"/user.slice/user-{user.uid}.slice/user@{user.uid}.service/")
    limits = [host.check_output(f"cat /sys/fs/cgroup{cgroup}/{name}") for name in ("memory.max", "cpu.max", "cpuset.cpus")]
    assert limits == [str(64 << 20), "50000 100000", "0"]


def test_dockerd_is_the_users(host: Host, user: User) -> None:
    pid = host.check_output("pgrep -x dockerd")
    assert host.check_output(f"awk '/^Uid:/ {{print $2}}' /proc/{pid}/status") == str(user.uid)
    assert host.check_output(f"cat /proc/{pid}/uid_map").split()[:3] == ["0", str(user.uid), "1"]
    socket = host.file(f"/run/user/{user.uid}/docker.sock")
    assert (socket.user, socket.mode & 0o007) == (USER, 0)
    assert user.output("docker context show") == "rootless" or user.output("echo $DOCKER_HOST").endswith("docker.sock")


def test_the_rootful_engine_is_off(host: Host) -> None:
    assert host.check_output("systemctl is-enabled docker.service docker.socket || true").split() == ["masked", "masked"]
    assert host.run("docker -H unix:///var/run/docker.sock info").rc != 0


def test_the_configuration_is_the_users_and_what_could_lift_it_is_roots(host: Host, user: User) -> None:
    file = host.file(f"/home/{USER}/.config/docker/daemon.json")
    assert (file.user, file.group, file.mode) == (USER, USER, 0o600)
    content = json.loads(file.content_string)
    assert content["default-runtime"] == "bulkhead" and content["no-new-privileges"] is True and content["icc"] is False
    for path in ("/etc/systemd/user/docker.service", content["runtimes"]["bulkhead"]["path"], content["seccomp-profile"]):
        there = host.file(path)
        assert (there.user, there.group, there.mode & 0o022) == ("root", "root", 0), path


def test_a_program_that_enters_and_a_health_check_are_confined(host: Host, user: User, plain: int) -> None:
    for option in ("", "--privileged"):
        assert user.output(f"docker exec {option} plain cat /proc/self/attr/current") == f"{PROFILE} (enforce)"
    health = json.loads(user.output("docker inspect -f '{{json .State.Health}}' plain"))
    assert health["Status"] == "healthy" and health["Log"][-1]["Output"].strip() == f"{PROFILE} (enforce)"


def test_a_named_profile_is_honoured_stops_cleanly_and_survives_a_restart(host: Host, user: User) -> None:
    user.output(f"docker run -d --network none --name web --security-opt apparmor=bulkhead-web testimage {STUBBORN}")
    try:
        assert label(host, user.pid("web")) == "bulkhead-web (enforce)"
        user.output("docker stop -t 20 web")
        assert user.output("docker inspect -f '{{.State.ExitCode}}' web") == "7"
        user.output("docker start web")
        assert label(host, user.pid("web")) == "bulkhead-web (enforce)"
    finally:
        user.run("docker rm -f web")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("--privileged", "unconfined"),
        ("--security-opt apparmor=unconfined", "unconfined"),
        ("--runtime runc --security-opt no-new-privileges=false", f"{PROFILE} (enforce)"),
    ],
)
def test_opting_out_is_as_with_a_rootful_engine(user: User, options: str, shown: str) -> None:
    assert user.output(f"docker run --rm --network none {options} testimage cat /proc/self/attr/current") == shown


def test_a_profile_that_does_not_exist_starts_nothing(user: User) -> None:
    done = user.run("docker run --rm --network none --security-opt apparmor=nonesuch testimage true")
    assert done.rc != 0 and "apparmor" in done.stderr
