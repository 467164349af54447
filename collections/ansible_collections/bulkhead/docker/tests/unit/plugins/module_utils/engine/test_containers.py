# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence on containers: all their tasks, and what happens when one cannot be inspected, ends, or is not the reported one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import containers, tasks
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.containers import describe_runtime
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.inspection import get_first_pid
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files
from .proc_tree import SILENT, FakeEngine, add_process, inspect, list_entry, write_status

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64
SCOPE = f"/system.slice/docker-{ONE}.scope"


def read(root: Path, answers: dict[str, Any], *listed: dict[str, Any], **info: Any) -> list[dict[str, Any]]:
    engine: Any = FakeEngine(answers)
    return containers.read_containers(Host(root), engine, listed or [list_entry(ONE)], info)


def test_every_process_of_the_control_group_is_read(tmp_path: Path) -> None:
    add_process(tmp_path, 7, SCOPE)
    add_process(tmp_path, 8, SCOPE)  # the same state
    add_process(tmp_path, 9, f"{SCOPE}/init.scope", label="unconfined", CapEff="1ffffffffff", Name="sh")
    add_process(tmp_path, 10, SCOPE, State="Z (zombie)", Seccomp="0")
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)})
    assert [(s["pid"], s["command"], s["tasks"]) for s in web["states"]] == [(7, "sleep", 2), (9, "sh", 1)]
    assert web["kernel"] is web["states"][0] and (web["error"], web["unread"], web["processes"]) == (None, [], 3)
    assert web["kernel"]["pids"]["max"] == 100 and web["kernel"]["started"] == 22


def test_reached_limits_are_read_with_each_container(tmp_path: Path) -> None:
    add_process(tmp_path, 7, SCOPE)
    folder = tmp_path / f"sys/fs/cgroup{SCOPE}"
    (folder / "pids.events").write_text("max 61\n")
    (folder / "memory.events").write_text("oom 2\noom_kill 1\n")
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)})
    assert web["kernel"]["events"] == {
        "pids": {"source": f"/sys/fs/cgroup{SCOPE}/pids.events", "max": 61},
        "memory": {"source": f"/sys/fs/cgroup{SCOPE}/memory.events", "oom": 2, "oom_kill": 1},
    }


def test_the_mounts_of_the_host_are_read_with_each_container(tmp_path: Path) -> None:
    """A device number is compared only with those that were in use at that time."""
    add_process(tmp_path, 7, SCOPE)
    write_files(tmp_path, {"proc/1/mountinfo": "28 1 8:1 / / rw - ext4 d rw\n"})
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)})
    assert web["host_mountinfo"] == "28 1 8:1 / / rw - ext4 d rw\n"


@pytest.mark.parametrize(("reads", "states"), [(3, [7]), (10**6, [7, 9])])
def test_a_process_that_a_runtime_starts_is_read_when_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int, states: list[int]
) -> None:
    add_process(tmp_path, 7, SCOPE)
    add_process(tmp_path, 9, SCOPE, Name="runc:[2:INIT]", Seccomp="0")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > reads * seconds:
            write_status(tmp_path / "proc/9/status")

    monkeypatch.setattr(tasks.time, "sleep", sleep)
    monkeypatch.setattr(tasks.time, "monotonic", lambda: now[0])
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)})
    assert [state["pid"] for state in web["states"]] == states
    assert now[0] < tasks.SETTLE_SECONDS + 0.1


def test_a_thread_with_another_state_is_a_state_of_its_own(tmp_path: Path) -> None:
    add_process(tmp_path, 7, SCOPE, Threads="3")
    write_status(tmp_path / "proc/7/task/8/status", Seccomp="0", Seccomp_filters="0")
    write_status(tmp_path / "proc/7/task/9/status")
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)})
    assert [(s["pid"], s.get("tid"), s["seccomp"]) for s in web["states"]] == [(7, None, 2), (7, 8, 0)]


def test_one_failed_inspection_does_not_hide_other_containers(tmp_path: Path) -> None:
    add_process(tmp_path, 7, SCOPE)
    answers = {
        f"/containers/{ONE}/json": inspect(ONE, 7),
        f"/containers/{TWO}/json": EngineError(500, "broken"),
        f"/containers/{THREE}/json": SILENT,
    }
    found = read(tmp_path, answers, list_entry(THREE, "slow"), list_entry(TWO, "bad"), list_entry(ONE))
    assert [(c["name"], c["error"]) for c in found] == [
        ("bad", "the engine answers with an error: broken"),
        ("slow", "the answer takes too long"),
        ("web", None),
    ]


def test_an_engine_that_does_not_answer_is_asked_once(tmp_path: Path) -> None:
    engine: Any = FakeEngine({f"/containers/{ONE}/json": SILENT})
    engine.alive = False
    found = containers.read_containers(Host(tmp_path), engine, [list_entry(ONE, "a"), list_entry(TWO, "b")], {})
    assert [(c["name"], c["error"]) for c in found] == [("a", "the answer takes too long"), ("b", "the answer takes too long")]


def test_container_that_ended_meanwhile_is_left_out(tmp_path: Path) -> None:
    answers = {f"/containers/{TWO}/json": {"State": {"Pid": 0}}}
    assert read(tmp_path, answers, list_entry(ONE), list_entry(TWO)) == []
    # It ends after its inspection: the process is gone, and so is the container.
    assert read(tmp_path, {f"/containers/{ONE}/json": [inspect(ONE, 7), {"Id": ONE, "State": {"Pid": 0}}]}) == []


def test_container_that_restarts_meanwhile_is_read_again(tmp_path: Path) -> None:
    add_process(tmp_path, 8, SCOPE)
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": [inspect(ONE, 7), inspect(ONE, 8)]})
    assert (web["pid"], web["error"]) == (8, None)


def test_process_outside_of_the_control_group_is_no_evidence(tmp_path: Path) -> None:
    add_process(tmp_path, 7, f"/system.slice/docker-{TWO}.scope", Seccomp="0")
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)})
    assert web["error"] == "the engine reports process 7, which is not in a control group of this container"
    assert "seccomp" not in web["kernel"]


def test_processes_on_the_hybrid_hierarchy(tmp_path: Path) -> None:
    for pid in (7, 8):
        add_process(tmp_path, pid, f"/pids/docker/{ONE}", Seccomp=str(9 - pid))
        (tmp_path / f"proc/{pid}/cgroup").write_text(f"7:pids:/docker/{ONE}\n1:name=systemd:/docker/{ONE}\n0::/docker/{ONE}\n")
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)})
    assert [(s["pid"], s["seccomp"]) for s in web["states"]] == [(7, 2), (8, 1)]
    assert web["kernel"]["cgroup_folder"] == f"/sys/fs/cgroup/pids/docker/{ONE}"


def test_engine_without_control_groups_has_only_first_processes(tmp_path: Path) -> None:
    add_process(tmp_path, 7, "/user.slice/user-1000.slice/session-1.scope")
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)}, CgroupDriver="none")
    assert web["error"] is None and web["unread"] == ["it has no control group of its own, so only its first process was read"]
    assert "pids" not in web["kernel"]


@pytest.mark.parametrize(("own", "leaf"), [("100", "max"), ("max", "100")])
def test_limit_is_read_from_the_engines_control_group(tmp_path: Path, own: str, leaf: str) -> None:
    add_process(tmp_path, 7, f"{SCOPE}/init.scope")
    (tmp_path / f"sys/fs/cgroup{SCOPE}/pids.max").write_text(f"{own}\n")
    (tmp_path / f"sys/fs/cgroup{SCOPE}/init.scope/pids.max").write_text(f"{leaf}\n")
    (tmp_path / "sys/fs/cgroup/system.slice/pids.max").write_text("50\n")
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7)})
    assert web["kernel"]["pids"]["source"] == f"/sys/fs/cgroup{SCOPE}/pids.max"
    assert web["kernel"]["pids"]["max"] == (None if own == "max" else int(own))
    assert web["kernel"]["pids"]["ancestors"] == [{"source": "/sys/fs/cgroup/system.slice/pids.max", "max": 50}]
    assert web["kernel"]["cgroup"].endswith("init.scope"), "what /proc says is shown as it is"


@pytest.mark.parametrize("pid", ["../home/x", "7", 0, -1, True, 1.5, None, [7]])
def test_invalid_process_ids_are_ignored(tmp_path: Path, pid: Any) -> None:
    assert get_first_pid({"State": {"Pid": pid}}) == 0
    assert read(tmp_path, {f"/containers/{ONE}/json": {"State": {"Pid": pid}}}) == []


def test_environment_variables_stay_on_the_host() -> None:
    names = {"DB_PASSWORD": "x", "API_TOKEN": "x", "SSH_KEY": "x", "my_secret_file": "x", "KEYBOARD": "us", "PATH": "/bin"}
    config = {"Env": [f"{name}={value}" for name, value in names.items()], "User": "www-data"}
    kept = containers.trim_inspect({"Config": config, "HostConfig": {"Privileged": True, "Binds": ["/a:/b"]}, "Mounts": []})
    assert (kept["User"], kept["HostConfig"], kept["SecretNames"]) == ("www-data", {"Privileged": True}, 4)
    assert not any(name in str(kept) for name in names)


@pytest.mark.parametrize(
    ("name", "runtimes", "shares"),
    [
        ("", {}, True),
        ("runc", {"runc": {"path": "runc"}}, True),
        ("io.containerd.runc.v2", {"io.containerd.runc.v2": {"path": "runc"}}, True),
        ("bulkhead", {"bulkhead": {"path": "/usr/local/libexec/bulkhead/rootless/runc"}}, True),
        ("crun", {"crun": {"path": "/usr/bin/crun"}}, True),
        ("nvidia", {"nvidia": {"path": "nvidia-container-runtime"}}, True),
        ("runsc", {"runsc": {"path": "/usr/local/bin/runsc"}}, False),
        ("gv", {"gv": {"runtimeType": "io.containerd.runsc.v1"}}, False),
        ("io.containerd.kata.v2", {}, False),
        ("kata", {"kata": {"path": "/usr/bin/runc"}}, False),
        ("mine", {"mine": {"path": "/opt/wrapper"}}, False),
    ],
)
def test_runtimes_that_share_the_kernel(name: str, runtimes: dict[str, Any], shares: bool) -> None:
    assert describe_runtime(name, runtimes) == {"name": name, "shares_kernel": shares}


def test_a_runtime_with_its_own_kernel_gives_no_evidence(tmp_path: Path) -> None:
    add_process(tmp_path, 7, SCOPE)
    (web,) = read(tmp_path, {f"/containers/{ONE}/json": inspect(ONE, 7, Runtime="runsc")})
    assert "its runtime runsc has a kernel of its own" in web["error"] and "seccomp" not in web["kernel"]
