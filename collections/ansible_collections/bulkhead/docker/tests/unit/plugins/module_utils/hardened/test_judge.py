# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on each setting of a hardened container."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened.judge import judge, list_unenforced_settings
from ansible_collections.bulkhead.docker.plugins.module_utils.host.cgroup import read_limits
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

PROFILE = '{"defaultAction": "SCMP_ACT_ERRNO"}'
REQUIRED: dict[str, Any] = {
    "user": "65534:65534", "read_only": True, "capabilities": ["NET_BIND_SERVICE"], "seccomp_profile": "bulkhead-web", "seccomp_text": PROFILE,
    "apparmor_profile": "bulkhead-web", "pids_limit": 100, "memory": 1 << 28, "cpus": 0.5,
}  # fmt: skip
VERDICT: dict[str, Any] = {"findings": []}


def container(**kernel: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {
        "pid": 7, "uid": [296606] * 4, "uid_map": [[0, 231072, 65536]], "root_read_only": True, "no_new_privs": 1, "seccomp": 2, "cap": {"bnd": 0x400},
        "label": "bulkhead-web (enforce)", "pids": {"source": "pids.max", "max": 100}, "unreadable": {},
        "limits": {"folder": "/x", "memory.max": {"max": 1 << 28}, "memory.swap.max": {"max": 0}, "cpu.max": {"max": 0.5}},
    }  # fmt: skip
    return {
        "pid": 7,
        "kernel": {**seen, **kernel},
        "seccomp_filter": ["filter"],
        "inspect": {"HostConfig": {"SecurityOpt": ["no-new-privileges", 'seccomp={"defaultAction":"SCMP_ACT_ERRNO"}']}},
    }


def test_all_settings_are_enforced() -> None:
    assert list_unenforced_settings(judge(container(), REQUIRED, VERDICT)) == []


@pytest.mark.parametrize(
    ("kernel", "says"),
    [
        ({"uid": [231072] * 4}, "user (absent)"),
        ({"uid": [0] * 4, "uid_map": [[0, 0, 4294967295]]}, "user (absent)"),
        ({"uid": [None]}, "user (unknown)"),
        ({"root_read_only": False}, "read_only (absent)"),
        ({"root_read_only": None}, "read_only (unknown)"),
        ({"cap": {"bnd": 0xA80425FB}}, "capabilities (degraded)"),
        ({"cap": {}}, "capabilities (unknown)"),
        ({"no_new_privs": 0}, "no_new_privileges (absent)"),
        ({"seccomp": 0}, "seccomp_profile (absent)"),
        ({"seccomp": None}, "seccomp_profile (unknown)"),
        ({"label": "docker-default (enforce)"}, "apparmor_profile (absent)"),
        ({"label": "bulkhead-web (complain)"}, "apparmor_profile (absent)"),
        ({"label": None, "unreadable": {"/proc/7/attr/current": "no"}}, "apparmor_profile (unknown)"),
        ({"pids": {"source": "pids.max", "max": None}}, "pids_limit (absent)"),
        ({"pids": {"source": "pids.max", "max": 500}}, "pids_limit (degraded)"),
        ({"pids": None}, "pids_limit (unknown)"),
    ],
)
def test_one_setting_off_is_named_and_no_other(kernel: dict[str, Any], says: str) -> None:
    assert list_unenforced_settings(judge(container(**kernel), REQUIRED, VERDICT)) == [says]


@pytest.mark.parametrize(
    ("file", "value", "says"),
    [
        ("memory.max", {"max": None}, "memory (absent)"),
        ("memory.max", {"max": 1 << 29}, "memory (degraded)"),
        ("memory.swap.max", {"max": None}, "swap (absent)"),
        ("cpu.max", {"max": 2.0}, "cpus (degraded)"),
        ("cpu.max", None, "cpus (unknown)"),
    ],
)
def test_limits(file: str, value: Any, says: str) -> None:
    seen = container()
    seen["kernel"]["limits"][file] = value
    assert list_unenforced_settings(judge(seen, REQUIRED, VERDICT)) == [says]


def test_another_seccomp_profile_is_seen() -> None:
    seen = container()
    seen["inspect"]["HostConfig"]["SecurityOpt"] = ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']
    assert list_unenforced_settings(judge(seen, REQUIRED, VERDICT)) == ["seccomp_profile (degraded)"]
    assert list_unenforced_settings(judge(container(), REQUIRED, {"findings": [{"text": "a hole", "status": "degraded"}]})) == [
        "seccomp_profile (degraded)"
    ]
    assert list_unenforced_settings(judge({**container(), "seccomp_filter": None}, REQUIRED, VERDICT)) == ["seccomp_profile (unknown)"]


def test_limits_as_cgroupfs_has_them(tmp_path: Any) -> None:
    folder = tmp_path / "sys/fs/cgroup/system.slice/docker-1.scope"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("268435456\n")
    (folder / "memory.swap.max").write_text("max\n")
    (folder / "cpu.max").write_text("50000 100000\n")
    assert read_limits(Host(tmp_path), "0::/system.slice/docker-1.scope") == {
        "folder": "/sys/fs/cgroup/system.slice/docker-1.scope",
        "memory.max": {"max": 268435456},
        "memory.swap.max": {"max": None},
        "cpu.max": {"max": 0.5},
    }
    assert read_limits(Host(tmp_path), "4:memory:/x") == {}
