# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import cgroup, process, process_status
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files

STATUS = """Name:\tsleep
Uid:\t231072\t231072\t231072\t231072
Gid:\t231072\t231072\t231072\t231072
CapInh:\t0000000000000000
CapPrm:\t00000000a80425fb
CapEff:\t00000000a80425fb
CapBnd:\t00000000a80425fb
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t1
TracerPid:\t9
Groups:\t0 27
State:\tS (sleeping)
Threads:\t3
"""


def test_parse_status() -> None:
    found = process_status.parse_status(STATUS)
    assert found["uid"] == [231072] * 4
    assert found["cap"]["bnd"] == 0xA80425FB
    assert (found["groups"], found["tracer"], found["state"], found["threads"], found["command"]) == ([0, 27], 9, "S", 3, "sleep")
    assert (found["no_new_privs"], found["seccomp"], found["seccomp_filters"]) == (1, 2, 1)


def test_missing_status_fields_are_left_out() -> None:
    assert "seccomp" not in process_status.parse_status("Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n")


def test_parse_id_map() -> None:
    assert process_status.parse_id_map("         0     231072      65536\n") == [[0, 231072, 65536]]


@pytest.mark.parametrize(
    ("mountinfo", "expected"),
    [
        ("600 500 0:50 / / rw,relatime - overlay overlay rw\n", False),
        ("600 500 0:50 / / ro,relatime - overlay overlay rw\n", True),
        ("600 500 0:50 / / ro,relatime - overlay o rw\n601 600 0:51 / / rw - tmpfs t rw\n", False),
        ("601 600 0:51 / /proc rw - proc proc rw\n", None),
        ("", None),
    ],
)
def test_last_mount_on_the_root_counts(mountinfo: str, expected: bool | None) -> None:
    assert process.parse_root_read_only(mountinfo) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/system.slice/docker-ab.scope\n", "/sys/fs/cgroup/system.slice/docker-ab.scope"),
        ("12:cpu,cpuacct:/docker/ab\n7:pids:/docker/ab\n0::/docker/ab\n", "/sys/fs/cgroup/pids/docker/ab"),
        ("", None),
    ],
)
def test_find_pids_folder(text: str, expected: str | None) -> None:
    assert cgroup.find_pids_folder(text) == expected


def _container_cgroup(root: Path, limit: str) -> None:
    write_files(root / "sys/fs/cgroup/docker.scope", {"pids.max": limit, "pids.current": "3\n"})


def test_missing_limit_and_peak_are_none(tmp_path: Path) -> None:
    _container_cgroup(tmp_path, "max\n")
    assert cgroup.read_pids(Host(tmp_path), "/sys/fs/cgroup/docker.scope") == {
        "source": "/sys/fs/cgroup/docker.scope/pids.max",
        "max": None,
        "current": 3,
        "peak": None,
        "ancestors": [],
    }


def test_unreadable_limit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cgroup.read_pids(Host(tmp_path), "/sys/fs/cgroup/gone")


def test_process_that_does_not_exist_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), process.open_process(Host(tmp_path), 4711):
        pass


def test_evidence_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "proc/4711").mkdir(parents=True)
    with process.open_process(Host(tmp_path), 4711) as opened:
        found = process.read_state(opened, {})
    assert "seccomp" not in found
    assert {"/proc/4711/status", "/proc/4711/uid_map"} <= set(found["unreadable"])


@pytest.mark.parametrize(("namespace", "rows"), [("host", [[0, 0, 4294967295]]), ("own", [[0, 100000, 65536]])])
def test_maps_lead_to_the_ids_of_a_host_in_an_lxc(tmp_path: Path, namespace: str, rows: list[list[int]]) -> None:
    for pid, user in ((1, "host"), (7, namespace)):
        (tmp_path / f"proc/{pid}/ns").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/ns/user").symlink_to(f"user:[{user}]")
        (tmp_path / f"proc/{pid}/uid_map").write_text("0 100000 65536\n")
    with process.open_process(Host(tmp_path), 7) as opened:
        assert process.read_state(opened, {})["uid_map"] == rows
    assert process_status.read_id_map(Host(tmp_path), 7) == rows


def test_an_open_process_is_never_another_one_with_its_id() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    with process.open_process(Host(), child) as opened:
        os.waitpid(child, 0)
        with pytest.raises(OSError, match="No such"):
            opened.read("status")


def test_read_state(tmp_path: Path) -> None:
    proc = tmp_path / "proc/7"
    (proc / "attr").mkdir(parents=True)
    (proc / "ns").mkdir()
    for name, text in {
        "status": STATUS,
        "uid_map": "0 231072 65536\n",
        "gid_map": "0 231072 65536\n",
        "mountinfo": "1 0 0:1 / / ro - overlay o rw\n",
        "cgroup": "0::/docker.scope\n",
        "attr/current": "docker-default (enforce)\n",
    }.items():
        (proc / name).write_text(text)
    for name in process.NAMESPACES:
        (proc / "ns" / name).symlink_to(f"{name}:[1]")
    shared: dict[str, str] = {}
    with process.open_process(Host(tmp_path), 7) as opened:
        found = process.read_state(opened, shared)
    assert found["unreadable"] == {}
    assert shared["mountinfo mnt:[1]"].startswith("1 0")
    assert found["label"] == "docker-default (enforce)"
    assert found["root_read_only"] is True
    assert found["namespaces"]["user"] == "user:[1]"
