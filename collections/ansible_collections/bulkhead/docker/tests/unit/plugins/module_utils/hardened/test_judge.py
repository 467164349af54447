# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on each setting of a hardened container."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened.judge import judge, list_unenforced_settings
from ansible_collections.bulkhead.docker.plugins.module_utils.host.limits import read_limits
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import build_container, write_files

PROFILE = '{"defaultAction": "SCMP_ACT_ERRNO"}'
REQUIRED: dict[str, Any] = {
    "user": "65534:65534", "read_only": True, "capabilities": ["NET_BIND_SERVICE"], "seccomp_profile": "bulkhead-web",
    "apparmor_profile": "bulkhead-web", "pids_limit": 100, "memory": 1 << 28, "cpus": 0.5,
}  # fmt: skip
MAP = [[0, 231072, 65536]]
VERDICT: dict[str, Any] = {"findings": []}


def container(**kernel: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {
        "uid": [296606] * 4, "gid": [296606] * 4, "groups": [296606], "uid_map": MAP, "gid_map": MAP,
        "root_read_only": True, "no_new_privs": 1, "seccomp": 2, "cap": {"bnd": 0x400, "eff": 0, "prm": 0, "inh": 0, "amb": 0},
        "label": "bulkhead-web (enforce)", "pids": {"source": "pids.max", "max": 100},
        "limits": {"folder": "/x", "memory.max": {"max": 1 << 28}, "memory.swap.max": {"max": 0}, "cpu.max": {"max": 0.5}},
    }  # fmt: skip
    config = {"SecurityOpt": ["no-new-privileges", 'seccomp={"defaultAction":"SCMP_ACT_ERRNO"}']}
    return build_container({**seen, **kernel}, host_config=config, seccomp_filter=["filter"], seccomp_text=PROFILE)


def test_the_peak_is_with_the_pids_limit() -> None:
    pids = {"source": "pids.max", "max": 100, "peak": 12}
    settings = {setting["setting"]: setting for setting in judge(container(pids=pids), REQUIRED, VERDICT)}
    assert settings["pids_limit"]["peak"] == 12 and "peak" not in settings["memory"]


def test_all_settings_are_enforced() -> None:
    assert list_unenforced_settings(judge(container(), REQUIRED, VERDICT)) == []


@pytest.mark.parametrize(
    ("kernel", "says"),
    [
        ({"uid": [231072] * 4}, "user (absent)"),
        ({"uid": [0] * 4, "uid_map": [[0, 0, 4294967295]]}, "user (absent)"),
        ({"uid": [296606, 231072, 231072, 231072]}, "user (absent)"),
        ({"uid": [296606, 296606, 296605, 296606]}, "user (absent)"),
        ({"gid": [231072] * 4}, "user (degraded)"),
        ({"gid": [296606, 296606, 231073, 296606]}, "user (degraded)"),
        ({"groups": [231072]}, "user (degraded)"),
        ({"groups": [5]}, "user (unknown)"),
        ({"uid_map": []}, "user (unknown)"),
        ({"gid_map": [[0]]}, "user (unknown)"),
        ({"gid": None}, "user (unknown)"),
        ({"cap": {"bnd": 0x400, "prm": 0xA80425FB, "eff": 0xA80425FB}}, "capabilities (degraded)"),
        ({"cap": {"bnd": 0, "inh": 0, "amb": 1 << 21}}, "capabilities (degraded)"),
        ({"label": "bulkhead-web//&bulkhead-more (mixed)"}, "apparmor_profile (absent)"),
        ({"label": "system_u:system_r:container_t:s0"}, "apparmor_profile (absent)"),
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
        ({"pids": {"source": "pids.max", "max": None, "ancestors": [{"source": "above", "max": 500}]}}, "pids_limit (degraded)"),
    ],
)
def test_one_setting_off_is_named_and_no_other(kernel: dict[str, Any], says: str) -> None:
    assert list_unenforced_settings(judge(container(**kernel), REQUIRED, VERDICT)) == [says]


@pytest.mark.parametrize(
    ("user", "kernel", "says"),
    [
        ("65534", {"gid": [231073] * 4}, []),
        ("65534", {"gid": [231072] * 4}, ["user (degraded)"]),
        ("www-data", {}, []),
        ("www-data", {"uid": [231072] * 4}, ["user (absent)"]),
        ("www-data:www-data", {"gid": [231072] * 4}, ["user (degraded)"]),
        ("65534:100", {}, ["user (degraded)"]),
    ],
)
def test_users_and_groups(user: str, kernel: dict[str, Any], says: list[str]) -> None:
    assert list_unenforced_settings(judge(container(**kernel), {**REQUIRED, "user": user}, VERDICT)) == says


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"uid": [231072] * 4}, "user (absent)"),
        ({"root_read_only": False}, "read_only (absent)"),
        ({"cap": {"bnd": 0x1FFFFFFFFFF}}, "capabilities (degraded)"),
        ({"no_new_privs": 0}, "no_new_privileges (absent)"),
        ({"label": "unconfined"}, "apparmor_profile (absent)"),
        ({"uid": None}, "user (unknown)"),
    ],
)
def test_every_process_counts(other: dict[str, Any], says: str) -> None:
    seen = container()
    seen["states"] = [seen["kernel"], {**seen["kernel"], "pid": 77, "command": "sh", **other}]
    verdicts = judge(seen, REQUIRED, VERDICT)
    assert list_unenforced_settings(verdicts) == [says]
    assert next(verdict["source"] for verdict in verdicts if verdict["status"] != "enforced").startswith("/proc/77/")


def test_root_in_a_nested_namespace_is_not_root_outside() -> None:
    seen = container(namespaces={"user": "user:[2]"})
    sandbox = {"uid_map": [[0, 296606, 1]], "namespaces": {"user": "user:[3]"}, "cap": {"bnd": 0x1FFFFFFFFFF}}
    seen["states"] = [seen["kernel"], {**seen["kernel"], "pid": 77, **sandbox}]
    assert list_unenforced_settings(judge(seen, REQUIRED, VERDICT, host_namespace="user:[1]")) == []
    assert list_unenforced_settings(judge(seen, REQUIRED, VERDICT, host_namespace="user:[3]")) == ["capabilities (degraded)"]


def test_lower_limit_of_an_ancestor_counts() -> None:
    pids = {"source": "pids.max", "max": None, "ancestors": [{"source": "above", "max": 50}]}
    (verdict,) = [verdict for verdict in judge(container(pids=pids), REQUIRED, VERDICT) if verdict["setting"] == "pids_limit"]
    assert (verdict["status"], verdict["seen"], verdict["source"]) == ("enforced", 50, "above")


def test_stack_with_the_profile_is_enforced() -> None:
    assert list_unenforced_settings(judge(container(label="bulkhead-web//&:ns:unconfined (enforce)"), REQUIRED, VERDICT)) == []


def test_global_mode_of_apparmor_counts() -> None:
    for status in ("degraded", "unknown"):
        name = "global_mode" if status == "degraded" else "global_mode_unread"
        apparmor = {"findings": [{"id": f"apparmor.{name}", "text": "mode is complain", "status": status}]}
        assert list_unenforced_settings(judge(container(), REQUIRED, VERDICT, apparmor)) == [f"apparmor_profile ({status})"]


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
    files = {"memory.max": "268435456\n", "memory.swap.max": "max\n", "cpu.max": "50000 100000\n"}
    write_files(tmp_path / "sys/fs/cgroup/system.slice/docker-1.scope", files)
    assert read_limits(Host(tmp_path), "0::/system.slice/docker-1.scope") == {
        "folder": "/sys/fs/cgroup/system.slice/docker-1.scope",
        "memory.max": {"max": 268435456},
        "memory.swap.max": {"max": None},
        "cpu.max": {"max": 0.5},
    }
    assert read_limits(Host(tmp_path), "4:memory:/x") == {}


LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max cpu time              unlimited            unlimited            seconds   \n"
    "Max processes             64                   128                  processes \n"
    "Max open files            1024                 4096                 files     \n"
)


@pytest.mark.parametrize(
    ("ulimits", "text", "says"),
    [
        ({"nofile": [1024, 4096], "nproc": [64, 128], "cpu": [-1, -1]}, LIMITS, []),
        ({"nofile": [1024, 2048]}, LIMITS, ["ulimits.nofile (degraded)"]),
        ({"cpu": [10, 10]}, LIMITS, ["ulimits.cpu (degraded)"]),
        ({"nofile": [10, 8192]}, LIMITS, []),  # a program may lower its own
        ({"stack": [1, 1]}, LIMITS, ["ulimits.stack (unknown)"]),
        ({"nofile": [1, 1]}, None, ["ulimits.nofile (unknown)"]),
    ],
)
def test_ulimits_of_every_process(ulimits: dict[str, list[int]], text: str | None, says: list[str]) -> None:
    seen = container(rlimits=text)
    assert list_unenforced_settings(judge(seen, {**REQUIRED, "ulimits": ulimits}, VERDICT)) == says
    seen["states"] = [{**seen["kernel"], "rlimits": LIMITS.replace("4096", "9999")}, {**seen["kernel"], "pid": 77}]
    if says == [] and "nofile" in ulimits and ulimits["nofile"][1] == 4096:
        assert list_unenforced_settings(judge(seen, {**REQUIRED, "ulimits": ulimits}, VERDICT)) == ["ulimits.nofile (degraded)"]
