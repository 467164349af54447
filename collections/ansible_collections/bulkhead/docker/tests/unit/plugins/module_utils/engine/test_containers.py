# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import containers, probe_image
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.cgroups import select_own_groups
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


def cgroup(root: Path, path: str, *pids: int) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))


def test_running_containers_that_are_not_listed_are_orphans(tmp_path: Path) -> None:
    cgroup(tmp_path, f"system.slice/docker-{ONE}.scope", 7)
    cgroup(tmp_path, f"system.slice/docker-{TWO}.scope")
    cgroup(tmp_path, f"system.slice/docker-{TWO}.scope/nested", 8, 9)
    cgroup(tmp_path, f"docker/{THREE}", 10)
    cgroup(tmp_path, f"system.slice/{'4' * 64}", 11)  # nothing of Docker's
    found = containers.find_orphans(Host(tmp_path), {ONE})
    assert {(o["id"], tuple(o["pids"])) for o in found} == {(TWO, (8, 9)), (THREE, (10,))}


def test_scope_without_processes_is_not_an_orphan(tmp_path: Path) -> None:
    cgroup(tmp_path, f"system.slice/docker-{ONE}.scope")
    assert containers.find_orphans(Host(tmp_path), set()) == []


class Fake:
    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def get(self, path: str) -> Any:
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_container_that_ended_meanwhile_is_left_out(tmp_path: Path) -> None:
    engine: Any = Fake({f"/containers/{ONE}/json": EngineError(404, "gone"), f"/containers/{TWO}/json": {"State": {"Pid": 0}}})
    assert containers.read_containers(Host(tmp_path), engine, [ONE, TWO]) == []


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


@pytest.mark.parametrize(("own", "leaf"), [("100", "max"), ("max", "100")])
def test_limit_is_read_from_the_engines_control_group(tmp_path: Path, own: str, leaf: str) -> None:
    scope = tmp_path / f"sys/fs/cgroup/system.slice/docker-{ONE}.scope"
    (scope / "init.scope").mkdir(parents=True)
    (scope / "pids.max").write_text(f"{own}\n")
    (scope / "init.scope/pids.max").write_text(f"{leaf}\n")
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(f"0::/system.slice/docker-{ONE}.scope/init.scope\n")
    engine: Any = Fake({f"/containers/{ONE}/json": {"Id": ONE, "Name": "/web", "State": {"Pid": 7}}})
    (seen,) = containers.read_containers(Host(tmp_path), engine, [ONE])
    assert seen["kernel"]["pids"]["source"] == f"/sys/fs/cgroup/system.slice/docker-{ONE}.scope/pids.max"
    assert seen["kernel"]["pids"]["max"] == (None if own == "max" else int(own))
    assert seen["kernel"]["cgroup"].endswith("init.scope"), "what /proc says is shown as it is"


def test_process_outside_of_the_containers_control_group(tmp_path: Path) -> None:
    cgroup(tmp_path, f"system.slice/docker-{TWO}.scope", 7)
    (tmp_path / f"sys/fs/cgroup/system.slice/docker-{TWO}.scope/pids.max").write_text("100\n")
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(f"0::/system.slice/docker-{TWO}.scope\n")
    engine: Any = Fake({f"/containers/{ONE}/json": {"Id": ONE, "Name": "/web", "State": {"Pid": 7}}})
    (seen,) = containers.read_containers(Host(tmp_path), engine, [ONE])
    assert "pids" not in seen["kernel"] and "this container" in seen["kernel"]["unreadable"]["/proc/7/cgroup"]


@pytest.mark.parametrize("pid", ["../home/x", "7", 0, -1, True, 1.5, None, [7]])
def test_invalid_process_ids_are_ignored(tmp_path: Path, pid: Any) -> None:
    assert containers.get_first_pid({"State": {"Pid": pid}}) == 0
    engine: Any = Fake({f"/containers/{ONE}/json": {"State": {"Pid": pid}}})
    assert containers.read_containers(Host(tmp_path), engine, [ONE]) == []


def test_environment_variables_stay_on_the_host() -> None:
    inspect = {"Config": {"Env": ["SECRET=x"], "User": "www-data"}, "HostConfig": {"Privileged": True, "Binds": ["/a:/b"]}, "Mounts": []}
    kept = containers.trim_inspect(inspect)
    assert kept["User"] == "www-data"
    assert kept["HostConfig"] == {"Privileged": True}
    assert "SECRET" not in str(kept)


def test_image_has_the_program_and_its_libraries() -> None:
    with tarfile.open(fileobj=io.BytesIO(probe_image.build_image(["sleep"]))) as tar:
        names = set(tar.getnames())
        assert probe_image.find_program("sleep").lstrip("/") in names
        assert any("libc.so" in name or "musl" in name for name in names)
        assert all(member.isdir() or member.isfile() for member in tar.getmembers())


def test_missing_program_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program: not found"):
        probe_image.build_image(["no-such-program"])
