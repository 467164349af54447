# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes are dumped, what their filters cover, and which processes root never traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp import deep
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.deep import dump_containers, explain_untraceable
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.options import knows_builtin

from ...builders import build_container, write_files

ID = "ab" * 32
USER = Instance("ann", 1000, 1000, "/home/ann")
MANAGER = "/user.slice/user-1000.slice/user@1000.service"
ROOTFUL_GROUP = f"0::/system.slice/docker-{ID}.scope"
USER_GROUP = f"0::{MANAGER}/user.slice/docker-{ID}.scope"
USER_MAP = "0 1000 1\n1 100000 65536"
WHOLE_MAP = "0 0 4294967295"


def write_process(root: Path, pid: int, groups: str, uid_map: str = USER_MAP, uid: int = 1000, gid_map: str = USER_MAP) -> None:
    status = f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\n"
    write_files(root / f"proc/{pid}", {"cgroup": f"{groups}\n", "uid_map": uid_map, "gid_map": gid_map, "status": status})


@pytest.mark.parametrize(
    ("instance", "groups", "keys", "reason"),
    [
        (ROOTFUL, ROOTFUL_GROUP, {"uid_map": WHOLE_MAP, "uid": 0}, None),
        (ROOTFUL, ROOTFUL_GROUP + "/init.scope", {}, None),  # systemd in the container
        (ROOTFUL, f"4:freezer:/docker/{ID}\n0::/", {}, None),
        (ROOTFUL, "0::/system.slice/sshd.service", {}, "not in the control group"),
        (ROOTFUL, f"0::/system.slice/docker-{'cd' * 32}.scope", {}, "not in the control group"),
        (USER, USER_GROUP, {}, None),
        (USER, f"0::{MANAGER}/app.slice/docker.service/{ID}", {}, None),
        (USER, ROOTFUL_GROUP, {}, "not below the control group of the manager of ann"),
        (USER, USER_GROUP.replace("1000", "1001"), {}, "not below the control group of the manager"),
        (USER, USER_GROUP.replace("1000.service", "1000.service2"), {}, "not below the control group of the manager"),
        (USER, f"{USER_GROUP}\n4:freezer:/docker/{ID}", {}, "not below the control group of the manager"),
        (USER, f"0::{MANAGER}/app.slice/docker.service", {}, "not in the control group"),
        (Instance("gone", None, None), USER_GROUP, {}, "not below the control group of the manager of gone"),
        (USER, USER_GROUP, {"uid_map": WHOLE_MAP}, "not in a user namespace without the host's root"),
        (USER, USER_GROUP, {"gid_map": "0 1000 1\n5 0 1"}, "not in a user namespace without the host's root"),
        (USER, USER_GROUP, {"uid_map": ""}, "not in a user namespace without the host's root"),
        (USER, USER_GROUP, {"uid": 0}, "not in a user namespace without the host's root"),
        (USER, USER_GROUP, {"uid_map": "x"}, "is not traced: "),
    ],
)
def test_processes_that_root_may_trace(tmp_path: Path, instance: Instance, groups: str, keys: dict[str, Any], reason: str | None) -> None:
    write_process(tmp_path, 7, groups, **keys)
    found = explain_untraceable(Host(tmp_path), instance, ID, 7)
    assert found is None if reason is None else found is not None and reason in found


def test_a_process_that_does_not_exist_is_not_traced(tmp_path: Path) -> None:
    assert "not in the control group" in str(explain_untraceable(Host(tmp_path), ROOTFUL, ID, 7))


def build_filtered(
    pid: int, option: str | None = None, caps: int = 1, privileged: bool = False, count: int = 1, mode: int = 2
) -> dict[str, Any]:
    kernel = {"pid": pid, "seccomp": mode, "seccomp_filters": count, "cap": {"bnd": caps}, "started": 100 + pid}
    config = {"SecurityOpt": [option] if option else None, "Privileged": privileged}
    return build_container(kernel, name=f"c{pid}", id=str(pid), host_config=config)


class Kernel:
    """Answers like seccomp/dump.py, and remembers what was traced."""

    def __init__(self, failing: dict[int, str]) -> None:
        self.failing = failing
        self.traced: list[list[tuple[int, int | None]]] = []

    def dump_filters(self, targets: list[tuple[int, int | None]]) -> list[list[str] | str]:
        if targets:
            self.traced.append(targets)
        return [self.failing.get(pid, [f"filter of {pid}"]) for pid, unused in targets]


def run(monkeypatch: pytest.MonkeyPatch, containers: list[dict[str, Any]], mode: str, always: str = "", **failing: str) -> list[int]:
    """Dump, and return the PIDs that were traced in their order."""
    kernel = Kernel({int(key[1:]): reason for key, reason in failing.items()})
    monkeypatch.setattr(deep.dump, "dump_filters", kernel.dump_filters)
    monkeypatch.setattr(deep, "explain_untraceable", lambda host, instance, identifier, pid: "untraceable" if pid == 99 else None)
    dump_containers(Host(), containers, always.split(), mode, ROOTFUL)
    assert all(started == 100 + pid for targets in kernel.traced for pid, started in targets)
    return [pid for targets in kernel.traced for pid, unused in targets]


@pytest.mark.parametrize(
    ("mode", "always", "traced"),
    [("none", "", []), ("none", "c2", [2]), ("profiles", "", [1, 3]), ("profiles", "c2", [1, 2, 3]), ("all", "", [1, 2, 3, 4])],
)
def test_modes(monkeypatch: pytest.MonkeyPatch, mode: str, always: str, traced: list[int]) -> None:
    containers = [build_filtered(1), build_filtered(2), build_filtered(3, "seccomp={}"), build_filtered(4), build_filtered(5, mode=0)]
    containers.append({"name": "broken", "id": "6", "error": "no answer"})
    containers.append({**build_filtered(7), "runtime": {"name": "kata", "shares_kernel": False}})
    # Their filters are the programs' own.
    containers += [build_filtered(8, "seccomp=unconfined"), build_filtered(9, privileged=True)]
    assert sorted(run(monkeypatch, containers, mode, always)) == traced
    assert [bool(container.get("seccomp_filter")) for container in containers] == {
        "none": [False, always == "c2", False, False],
        "profiles": [True] * 4,
        "all": [True] * 4,
    }[mode] + [False] * 5
    assert not any("not_dumped" in container for container in containers)


@pytest.mark.parametrize(
    "other",
    [
        build_filtered(2, "seccomp=builtin"),
        build_filtered(2, caps=3),
        build_filtered(2, count=2),
    ],
)
def test_what_makes_another_profile(monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]) -> None:
    assert run(monkeypatch, [build_filtered(1), other], "profiles") == [1, 2]


def test_privileged_containers_have_rules_of_all_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    containers = [build_filtered(1, "seccomp={}"), build_filtered(2, "seccomp={}", privileged=True)]
    assert run(monkeypatch, containers, "profiles") == [1, 2]


def test_the_covered_containers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = build_filtered(1), build_filtered(2), build_filtered(3)
    run(monkeypatch, [first, second, third], "profiles")
    assert (first["covers"], first["seccomp_filter"]) == (["c2", "c3"], ["filter of 1"])
    assert "dumped_from" not in first
    for other in (second, third):
        assert (other["dumped_from"], other["seccomp_filter"]) == ({"name": "c1", "pid": 1}, ["filter of 1"])


def test_the_next_container_is_read_if_one_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = build_filtered(1), build_filtered(2), build_filtered(3)
    assert run(monkeypatch, [first, second, third], "profiles", p1="process 1 is frozen (docker pause)") == [1, 2]
    assert first["not_dumped"] == "process 1 is frozen (docker pause)"
    assert first["dumped_from"] == third["dumped_from"] == {"name": "c2", "pid": 2}
    assert second["covers"] == ["c1", "c3"]


def test_nothing_is_covered_if_all_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    containers = [build_filtered(1), build_filtered(2), build_filtered(99)]
    assert run(monkeypatch, containers, "profiles", p1="frozen", p2="asleep") == [1, 2]
    assert [container["not_dumped"] for container in containers] == ["frozen", "asleep", "untraceable"]
    assert all(container["seccomp_filter"] is None for container in containers)


def test_states_with_another_number_of_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    one = build_filtered(1)
    one["states"] = [
        one["kernel"],
        {"pid": 1, "tid": 11, "seccomp": 2, "seccomp_filters": 2, "started": 111},
        {"pid": 12, "seccomp": 2, "seccomp_filters": 2, "started": 112},
        {"pid": 13, "seccomp": 2, "seccomp_filters": 1, "started": 113},
        {"pid": 14, "seccomp": 2, "seccomp_filters": 4, "started": 114},
        {"pid": 15, "seccomp": 0, "seccomp_filters": 0, "started": 115},
    ]
    assert run(monkeypatch, [one], "profiles") == [1]
    assert run(monkeypatch, [one], "all", p14="asleep") == [1, 11, 14]
    assert [(state["tid"], state["filters"]) for state in one["dumped_states"]] == [(11, ["filter of 11"])]
    assert one["not_dumped"] == "asleep"


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(targets: Any) -> Any:
        raise OSError(11, "Resource temporarily unavailable")

    one = build_filtered(1)
    monkeypatch.setattr(deep, "explain_untraceable", lambda *unused: None)
    monkeypatch.setattr(deep.dump, "dump_filters", fail)
    dump_containers(Host(), [one], (), "all", ROOTFUL)
    assert "Resource temporarily unavailable" in one["not_dumped"] and one["seccomp_filter"] is None


@pytest.mark.parametrize(
    ("version", "options", "expected"),
    [
        ("20.10.24+dfsg1", ["name=seccomp,profile=default"], None),
        ("26.1.5", ["name=apparmor", "name=seccomp,profile=builtin"], None),
        ("20.10.24+dfsg1", ["name=seccomp,profile=/etc/docker/seccomp/a.json"], False),
        ("26.1.5", ["name=seccomp,profile=/etc/docker/seccomp/a.json"], True),
        ("", [], False),
    ],
)
def test_engines_that_accept_builtin_filter_name(version: str, options: list[str], expected: bool | None) -> None:
    assert knows_builtin(version, options) is expected
