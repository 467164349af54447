# SPDX-License-Identifier: GPL-3.0-or-later
"""Control groups of containers, and containers that the engine does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.cgroups import (
    has_container_group,
    list_container_cgroups,
    select_own_groups,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.orphans import find_orphans
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from .proc_tree import FakeEngine, inspect, write_status

ONE, TWO, THREE, FOUR = "1" * 64, "2" * 64, "3" * 64, "4" * 64


def cgroup(root: Path, path: str, *pids: int) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))


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
    (tmp_path / "proc/6").mkdir()
    (tmp_path / "proc/6/cmdline").write_text(f"/usr/bin/containerd-shim-runc-v2\0-namespace\0{namespace}\0-id\0{ONE}\0")
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
    ("text", "inside"),
    [
        (f"0::/system.slice/docker-{ONE}.scope", True),
        (f"0::/docker/{ONE}/child", True),
        (f"0::/kubepods.slice/cri-containerd-{ONE}.scope", True),
        (f"0::/machine.slice/libpod-{ONE}.scope", True),
        ("0::/system.slice/docker.service", False),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service", False),
    ],
)
def test_processes_of_containers_are_recognised(text: str, inside: bool) -> None:
    assert has_container_group(text) is inside
