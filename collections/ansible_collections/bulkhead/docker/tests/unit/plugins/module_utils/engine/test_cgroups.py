# SPDX-License-Identifier: GPL-3.0-or-later
"""Control groups of containers, and containers that the engine does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.cgroups import find_orphans, list_container_cgroups, select_own_groups
from ansible_collections.bulkhead.docker.plugins.module_utils.host.cgroup import find_container_group
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files
from .proc_tree import FakeEngine, add_process, inspect, write_status

ONE, TWO, THREE, FOUR = "1" * 64, "2" * 64, "3" * 64, "4" * 64


def cgroup(root: Path, path: str, *pids: int) -> None:
    write_files(root, {f"sys/fs/cgroup/{path}/cgroup.procs": "".join(f"{pid}\n" for pid in pids)})


def orphans(root: Path, known: set[str], answers: dict[str, Any] | None = None) -> set[tuple[str, tuple[int, ...]]]:
    engine: Any = FakeEngine(answers or {})
    return {(orphan["id"], tuple(orphan["pids"])) for orphan in find_orphans(Host(root), engine, known)}


def test_containers_that_the_engine_does_not_know_are_orphans(tmp_path: Path) -> None:
    cgroup(tmp_path, f"system.slice/docker-{ONE}.scope", 7)
    cgroup(tmp_path, f"system.slice/docker-{TWO}.scope")
    cgroup(tmp_path, f"system.slice/docker-{TWO}.scope/nested", 8, 9)
    cgroup(tmp_path, f"docker/{THREE}", 10)
    cgroup(tmp_path, f"system.slice/{FOUR}", 11)  # nothing of Docker's
    assert orphans(tmp_path, {ONE}) == {(TWO, (8, 9)), (THREE, (10,))}


@pytest.mark.parametrize(("namespace", "rows"), [("host", [[0, 0, 4294967295]]), ("own", [[0, 231072, 65536]])])
def test_orphans_in_an_lxc_have_the_ids_of_its_host(tmp_path: Path, namespace: str, rows: list[list[int]]) -> None:
    add_process(tmp_path, 1, "/init.scope", {"user": "host"})
    add_process(tmp_path, 7, f"/system.slice/docker-{ONE}.scope", {"user": namespace})
    # A process of the reader's own namespace shows the map to the parent's IDs (man 7 user_namespaces).
    (tmp_path / "proc/7/uid_map").write_text("0 100000 65536\n" if namespace == "host" else "0 231072 65536\n")
    assert [orphan["uid_map"] for orphan in find_orphans(Host(tmp_path), None, set())] == [rows]


def test_scope_without_processes_is_not_an_orphan(tmp_path: Path) -> None:
    cgroup(tmp_path, f"system.slice/docker-{ONE}.scope")
    assert orphans(tmp_path, set()) == set()


@pytest.mark.parametrize(("answer", "found"), [(inspect(ONE, 7), False), (EngineError(500, "busy"), False), (EngineError(404, "no"), True)])
def test_the_engine_is_asked_about_each_suspect(tmp_path: Path, answer: Any, found: bool) -> None:
    cgroup(tmp_path, f"system.slice/docker-{ONE}.scope", 7)
    assert bool(orphans(tmp_path, set(), {f"/containers/{ONE}/json": answer})) is found


@pytest.mark.parametrize(("namespace", "found"), [("moby", True), ("moby-231072.231072", True), ("k8s.io", False)])
def test_a_container_below_any_parent_is_known_by_its_shim(tmp_path: Path, namespace: str, found: bool) -> None:
    cgroup(tmp_path, f"mine/{ONE}", 7)
    cgroup(tmp_path, f"mine.slice/docker-{TWO}.scope", 8)
    write_status(tmp_path / "proc/7/status", PPid="6")
    write_files(tmp_path, {"proc/6/cmdline": f"/usr/bin/containerd-shim-runc-v2\0-namespace\0{namespace}\0-id\0{ONE}\0"})
    assert orphans(tmp_path, set()) == {(TWO, (8,)), *({(ONE, (7,))} if found else ())}


def test_a_container_is_listed_once_on_the_legacy_hierarchy(tmp_path: Path) -> None:
    for hierarchy in ("pids", "memory", "systemd"):
        cgroup(tmp_path, f"{hierarchy}/docker/{ONE}", 7)
    assert [identifier for identifier, unused in list_container_cgroups(Host(tmp_path))] == [ONE]


@pytest.mark.parametrize(
    ("text", "own"),
    [
        (f"0::/system.slice/docker-{ONE}.scope\n", f"0::/system.slice/docker-{ONE}.scope"),
        (f"0::/system.slice/docker-{ONE}.scope/init.scope\n", f"0::/system.slice/docker-{ONE}.scope"),
        (f"0::/docker/{ONE}/a/docker-{ONE}.scope\n", f"0::/docker/{ONE}"),
        (f"0::/user.slice/user-990.slice/user@990.service/user.slice/docker-{ONE}.scope/x", None),
        (f"12:cpu,cpuacct:/docker/{ONE}/x\n7:pids:/docker/{ONE}/x\n0::/\n", f"12:cpu,cpuacct:/docker/{ONE}\n7:pids:/docker/{ONE}"),
        (f"0::/system.slice/docker-{TWO}.scope\n", ""),
        ("0::/user.slice/session-1.scope\n", ""),
        ("", ""),
    ],
)
def test_select_own_groups(text: str, own: str | None) -> None:
    assert select_own_groups(text, ONE) == (text.rpartition("/")[0] if own is None else own)


@pytest.mark.parametrize(
    ("text", "container"),
    [
        (f"0::/system.slice/docker-{ONE}.scope", (ONE, "docker")),
        (f"0::/custom.slice/custom-a.slice/docker-{ONE}.scope/init.scope", (ONE, "docker")),
        (f"0::/user.slice/user-990.slice/user@990.service/user.slice/docker-{ONE}.scope", (ONE, "docker")),
        (f"0::/docker/{ONE}/child", (ONE, "docker")),
        (f"0::/system.slice:docker:{ONE}", (ONE, "docker")),
        (f"12:cpu,cpuacct:/docker/{ONE}\n1:name=systemd:/docker/{ONE}\n0::/system.slice/containerd.service\n", (ONE, "docker")),
        (f"12:pids:/\n11:memory:/custom/{ONE}\n0::/\n", (ONE, "")),
        (f"0::/custom/{ONE}/a", (ONE, "")),
        (f"0::/{ONE}", (ONE, "")),
        (f"0::/kubepods.slice/cri-containerd-{ONE}.scope", (ONE, "cri-containerd")),
        (f"0::/machine.slice/libpod-{ONE}.scope/container", (ONE, "libpod")),
        (f"0::/kubepods/burstable/pod-1/{ONE}", (ONE, "")),
        # The outermost one: an engine in a container, and a container that names groups below its own after another one.
        (f"0::/machine.slice/libpod-{ONE}.scope/docker/{TWO}", (ONE, "libpod")),
        (f"0::/custom/{ONE}/system.slice/docker-{TWO}.scope", (ONE, "")),
        ("0::/system.slice/docker.service", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service", None),
        (f"0::/system.slice/x{ONE}.service", None),
        ("", None),
    ],
)
def test_containers_of_processes(text: str, container: tuple[str, str] | None) -> None:
    assert find_container_group(text) == container


def add_shim(root: Path, pid: int, shim: int, identifier: str) -> None:
    write_status(root / f"proc/{pid}/status", PPid=str(shim))
    write_files(root, {f"proc/{shim}/cmdline": f"/usr/bin/containerd-shim-runc-v2\0-namespace\0moby\0-id\0{identifier}\0"})


def test_a_shim_is_found_among_many_processes(tmp_path: Path) -> None:
    others = range(100, 140)  # the numbers wrapped around after the start, or `docker exec` of another runtime
    cgroup(tmp_path, f"mine/{ONE}", *others, 7000)
    for pid in others:
        write_status(tmp_path / f"proc/{pid}/status", PPid="7000")
    add_shim(tmp_path, 7000, 6, ONE)
    assert [identifier for identifier, unused in list_container_cgroups(Host(tmp_path))] == [ONE]


def test_containers_of_other_engines_are_no_orphans(tmp_path: Path) -> None:
    for path in (
        f"machine.slice/libpod-{ONE}.scope/container/docker/{TWO}",
        f"kubepods.slice/cri-containerd-{ONE}.scope/system.slice/docker-{TWO}.scope",
        f"lxc.payload.guest/system.slice/docker-{TWO}.scope",
        f"lxc/100/ns/docker/{TWO}",
        f"machine.slice/machine-guest.scope/docker/{TWO}",
        f"user.slice/user-990.slice/user@990.service/user.slice/docker-{TWO}.scope",
    ):
        cgroup(tmp_path, path, 7)
    assert orphans(tmp_path, set()) == set()


def test_a_runtime_that_makes_folders_of_scopes(tmp_path: Path) -> None:
    cgroup(tmp_path, f"system.slice:docker:{ONE}", 7)
    assert orphans(tmp_path, set()) == {(ONE, (7,))}
