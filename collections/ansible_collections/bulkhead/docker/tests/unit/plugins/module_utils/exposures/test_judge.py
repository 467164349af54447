# SPDX-License-Identifier: GPL-3.0-or-later
"""What was granted to a container: each kind of exposure, and none for a container with the engine's defaults."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.judge import build_findings
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import FORBIDDEN, KINDS, NOTE, Exposure

from .builders import ALL, DEFAULT, HOST_NAMESPACES, build_plain_container, build_state, judge


def list_ids(exposures: dict[str, Any]) -> list[str]:
    return sorted(name for name in exposures if name != "host_time:time")


def test_a_container_with_the_engines_defaults_has_no_exposure() -> None:
    assert list_ids(judge(build_plain_container())) == []


def host_state(*names: str, **changes: Any) -> dict[str, Any]:
    return build_state(namespaces={name: HOST_NAMESPACES[name] for name in names}, **changes)


def caps(bits: int, *names: str) -> dict[str, int]:
    return {"inh": 0, "prm": DEFAULT, "eff": DEFAULT, "bnd": DEFAULT, "amb": 0, **dict.fromkeys(names or ("prm", "eff", "bnd"), bits)}


@pytest.mark.parametrize(
    ("states", "ids"),
    [
        ([host_state("pid")], ["host_pid:pid"]),
        ([host_state("net", "ipc", "uts")], ["host_ipc:ipc", "host_network:net", "host_uts:uts"]),
        ([host_state("cgroup")], ["host_cgroup:cgroup"]),
        ([host_state("user")], []),  # layer userns
        ([build_state(), host_state("pid", pid=9, command="sh")], ["host_pid:pid"]),
        ([build_state(cap=caps(DEFAULT | 1 << 21))], ["capability:SYS_ADMIN"]),
        ([host_state("user", cap=caps(DEFAULT | 1 << 21))], ["dangerous_capability:SYS_ADMIN"]),
        ([host_state("user", cap=caps(DEFAULT | 1 << 23, "bnd"))], ["capability:SYS_NICE"]),
        ([host_state("user", cap=caps(1 << 25, "inh"))], ["dangerous_capability:SYS_TIME"]),
        ([host_state("user", cap=caps(1 << 12, "amb"))], ["dangerous_capability:NET_ADMIN"]),
        ([build_state(cap=caps(1 << 12)), host_state("user", pid=9, cap=caps(1 << 12))], ["dangerous_capability:NET_ADMIN"]),
        ([build_state(tracer=99)], ["tracer:7"]),
        ([build_state(no_new_privs=0)], ["no_new_privileges_off:NoNewPrivs"]),
        ([build_state(started=400)], ["outdated_start:start"]),
        ([build_state(pids={"max": 801, "source": "pids.max"})], ["high_pids_limit:pids.max"]),
        ([build_state(pids={"max": 800, "source": "pids.max"})], []),
        ([build_state(pids={"max": None, "source": "pids.max"})], []),  # layer pids_limit
        ([build_state(limits={"folder": "/f", "memory.max": {"max": None}})], ["no_memory_limit:memory.max"]),
        ([build_state(limits={"folder": "/f", "memory.max": {"max": 5}, "cpu.max": {"max": None}})], ["no_cpu_limit:cpu.max"]),
    ],
)
def test_exposures_of_tasks(states: list[dict[str, Any]], ids: list[str]) -> None:
    assert list_ids(judge(build_plain_container(*states))) == ids


def test_a_privileged_process_in_a_plain_container_is_named() -> None:
    exec_state = host_state("user", pid=9, command="sh", cap=caps(ALL), label="unconfined")
    found = judge(build_plain_container(host_state("user"), exec_state))
    assert found["privileged:process 9"].text == "process 9 (sh) of container web has every capability"
    assert found["privileged:process 9"].source == "/proc/9/status Cap*"
    assert "dangerous_capability:SYS_MODULE" in found


def test_every_capability_while_confined_is_not_privileged() -> None:
    assert "privileged:process 7" not in judge(build_plain_container(host_state("user", cap=caps(ALL))))


@pytest.mark.parametrize(
    ("inspect", "ids"),
    [
        ({"HostConfig": {"Privileged": True}}, ["privileged:container"]),
        ({"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]}}, ["published_port:8080"]),
        ({"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "81/tcp": None}}, []),
        ({"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}}, ["privileged_port:80"]),
        ({"SecretNames": 2}, ["secrets_in_environment:Env"]),
        ({"HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": 6}]}}, ["ulimit:nofile"]),
    ],
)
def test_exposures_of_settings(inspect: dict[str, Any], ids: list[str]) -> None:
    assert list_ids(judge(build_plain_container(inspect=inspect))) == ids


def test_a_namespace_joined_from_another_container() -> None:
    other = {
        **build_plain_container(build_state(8, namespaces={"net": "net:[5]", "mnt": "mnt:[8]", "pid": "pid:[8]"})),
        "name": "db",
        "id": "d" * 64,
    }
    web = build_plain_container(build_state(namespaces={"net": "net:[5]", "ipc": "ipc:[4]", "uts": "uts:[4]", "cgroup": "cgroup:[4]"}))
    assert judge(web, other)["shared_namespace:db"].text == "net of container db"


def test_a_namespace_joined_from_a_container_that_has_the_hosts() -> None:
    other = {**build_plain_container(host_state("net", pid=8)), "name": "db", "id": "d" * 64}
    found = judge(build_plain_container(host_state("net")), other)
    assert ("host_network:net" in found and "shared_namespace:db" not in found) or "net" not in found["shared_namespace:db"].text


def test_an_ssh_server_and_writable_places() -> None:
    writable = [{"point": "/tmp", "options": ["nosuid"]}]
    container = build_plain_container(build_state(root_read_only=True), commands=["sh", "sshd"])
    container["exposed"]["writable"] = writable
    assert list_ids(judge(container)) == ["sshd:sshd", "writable_place:/tmp"]
    container["kernel"]["root_read_only"] = False
    assert list_ids(judge(container)) == ["sshd:sshd"]


def test_one_finding_per_kind_refers_to_its_exposures() -> None:
    exposures = [Exposure("device", f"/dev/{n}", f"/dev/{n} (rw)", "s", n) for n in range(7)] + [
        Exposure("host_files", "/srv", "/srv", "s", 1)
    ]
    (finding,) = build_findings("web", exposures)
    assert finding["id"] == "container.device" and len(finding["exposures"]) == 7
    assert finding["text"].startswith("container web: its processes can open a device of the host (/dev/0 (rw); ")
    assert finding["text"].endswith("; and 2 more)")


def test_the_holder_of_several_exposures_is_named_once() -> None:
    exposures = [Exposure("capability", name, name, "s", 1, "process 9 (sh) of container web") for name in ("LEASE", "IPC_LOCK")]
    (finding,) = build_findings("web", exposures)
    assert finding["text"].endswith("(LEASE; IPC_LOCK, process 9 (sh) of container web)")


def test_the_table_of_kinds() -> None:
    assert set(FORBIDDEN) <= set(KINDS)
    assert all(kind.name == name and kind.meaning and (kind.severity == NOTE or kind.name) for name, kind in KINDS.items())
