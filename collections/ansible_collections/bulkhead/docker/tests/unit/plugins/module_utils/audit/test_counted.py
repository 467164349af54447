# SPDX-License-Identifier: GPL-3.0-or-later
"""Denials that the kernel counted, and those of the logs."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit import counted, joining
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.attribution import KnownContainer
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.denials import count_equal_denials
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters import describe
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters.counts import CountedDenial, DenialCounts
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters.layout import CAUSES
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

SHOP, BLOG = "a" * 64, "b" * 64
OPENAT, MOUNT, EPOLL_CTL, EXECVE = 257, 165, 233, 59
DENIAL = CountedDenial(
    7, SHOP, f"/system.slice/docker-{SHOP}.scope", "x86_64", OPENAT, errno.EACCES, "apparmor", None, True, False, 5, 100.0, 200.0
)
ROOTLESS = Instance("rootless", 1000)
LOADED = 40.0


@pytest.fixture(name="read")
def fixture_read(tmp_path, monkeypatch):
    def read(counts, since=50.0, instance=ROOTFUL, boot=0.0):
        (tmp_path / counted.PINS.lstrip("/")).mkdir(parents=True, exist_ok=True)
        os.utime(tmp_path, (LOADED, LOADED))
        monkeypatch.setattr(counted, "find_counter_pins", lambda: str(tmp_path) if counts else None)
        monkeypatch.setattr(counted, "read_counts", counts if callable(counts) else lambda: counts)
        return counted.read_counted(Host(tmp_path), instance, since, boot)

    return read


def test_host_without_counters_has_no_gap(tmp_path):
    assert counted.read_counted(Host(tmp_path), ROOTFUL, 0.0, 0.0) == counted.Counted()


@pytest.mark.parametrize(
    "changes",
    [
        {"last": 49.0},
        {"container": ""},
        {"errno": errno.ENOSYS, "cause": "seccomp"},
        {"number": EPOLL_CTL, "errno": errno.EPERM},
        {"path": f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{SHOP}.scope"},
    ],
)
def test_what_is_not_listed(read, changes):
    assert read(DenialCounts([replace(DENIAL, **changes)], {}, {})).denials == []
    assert read(DenialCounts([DENIAL], {}, {})).denials == [DENIAL]


def test_rootless_engine_has_the_groups_below_its_user(read):
    own = replace(DENIAL, path=f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{SHOP}.scope")
    other = replace(DENIAL, path=f"/user.slice/user-1001.slice/user@1001.service/user.slice/docker-{SHOP}.scope")
    assert read(DenialCounts([DENIAL, own, other], {}, {}), instance=ROOTLESS).denials == [own]


def test_losses_are_gaps(read):
    found = read(DenialCounts([], {"denials": 3}, {"sys_exit": 2}))
    assert [(gap["kind"], gap["source"], gap["lost"]) for gap in found.gaps] == [("lost", "counters", 3), ("missed", "counters", 2)]
    assert found.is_counting


def test_counts_that_began_later_are_a_gap(read):
    assert read(DenialCounts([], {}, {}), since=LOADED).gaps == []
    (gap,) = read(DenialCounts([DENIAL], {}, {}), since=LOADED - 1).gaps
    assert (gap["kind"], gap["source"], gap["from"], gap["to"], gap["lost"]) == ("begins", "counters", 39.0, 40.0, None)
    assert gap["text"] == "the kernel counts denials since 1970-01-01 00:00:40 UTC, when its programs were loaded, and none before"


def test_reboot_is_named(read):
    """Counts that began after `since` in the same boot were lost to no reboot."""
    (gap,) = read(DenialCounts([], {}, {}), since=20.0, boot=30.0).gaps
    assert (gap["kind"], gap["source"], gap["from"], gap["to"]) == ("rebooted", "counters", 20.0, 40.0)
    assert gap["text"] == (
        "the host was booted at 1970-01-01 00:00:30 UTC, which ended any earlier counts; the kernel counts denials since 1970-01-01 00:00:40 UTC"
    )
    assert [gap["kind"] for gap in read(DenialCounts([], {}, {}), since=30.0, boot=20.0).gaps] == ["begins"]
    assert read(DenialCounts([], {}, {}), since=45.0, boot=30.0).gaps == []


def test_unreadable_counts_are_gaps(read):
    def fail():
        raise OSError(5, "Input/output error")

    assert [gap["text"] for gap in read(fail).gaps] == ["the denials that the kernel counted cannot be read: Input/output error"]
    assert "is of another version" in read(None).gaps[0]["text"]


@pytest.mark.parametrize(
    ("changes", "layer"),
    [
        ({}, "apparmor"),
        ({"cause": "unknown"}, "kernel"),
        ({"cause": "unknown", "in_namespace": True}, "userns"),
        ({"cause": "unknown", "is_root": False}, "non_root_user"),
        ({"cause": "unknown", "is_root": False, "in_namespace": True}, "non_root_user"),
        ({"cause": "unknown", "number": EXECVE, "errno": errno.EPERM, "is_root": False}, "capabilities"),
        ({"cause": "unknown", "number": EXECVE, "errno": errno.EACCES, "is_root": False}, "non_root_user"),
    ],
)
def test_layer_of_a_denial(changes, layer):
    assert describe.find_layer(replace(DENIAL, **changes)) == layer
    assert layer in (*CAUSES, describe.KERNEL)


def test_entry_names_container_capability_and_begin():
    denial = replace(DENIAL, cause="capabilities", number=MOUNT, errno=errno.EPERM, capability=21)
    (entry,) = counted.build_entries([denial], [KnownContainer(SHOP, "shop", "nginx", "web")], since=150.0)
    assert entry["container"] == {"id": SHOP, "name": "shop", "image": "nginx"}
    assert (entry["layer"], entry["operation"], entry["by"], entry["profile"]) == ("capabilities", "mount", "counters", "web")
    assert entry["detail"].startswith("errno=EPERM capability=SYS_ADMIN")
    assert entry["detail"].endswith("(counted since 1970-01-01 00:01:40 UTC)")
    (unnamed,) = counted.build_entries([denial], [], since=0.0)
    assert unnamed["container"] == {"id": SHOP, "name": None, "image": None}


@pytest.mark.parametrize("ignored", ["setuid", "setgid", "file capabilities"])
def test_ignored_rights_of_a_program_are_described(ignored):
    denial = replace(DENIAL, cause="no_new_privileges", number=EXECVE, errno=0, ignored=ignored)
    (entry,) = counted.build_entries([denial], [], since=0.0)
    assert (entry["layer"], entry["operation"], entry["detail"], entry["denied"]) == (
        "no_new_privileges",
        "execve",
        f"{ignored} ignored",
        True,
    )


def test_numbers_of_other_tables_are_shown():
    assert describe.name_denied_call(replace(DENIAL, abi="i386", number=21)) == "syscall 21"
    assert describe.name_denied_call(replace(DENIAL, abi="x32", number=OPENAT)) == "openat"


def log(operation: str, count: int, container: str = SHOP, **changes):
    return {
        "layer": "apparmor", "denied": True, "operation": operation, "scope": "container", "container": {"id": container}, "count": count,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("logged", "left"),
    [
        ([log("open", 2)], 3),
        ([log("open", 5)], 0),
        ([log("open", 9)], 0),
        ([log("open", 2), log("open", 2)], 1),
        ([log("capable", 2)], 3),
        ([log("mknod", 2)], 3),
        ([log("mount", 5)], 5),
        ([log("open", 5, BLOG)], 5),
        ([log("open", 5, denied=False)], 5),
        ([log("open", 5, layer="seccomp")], 5),
        ([log("open", 5, scope="unknown", container=None)], 5),
    ],
)
def test_what_a_log_has_counts_once(logged, left):
    entries = counted.build_entries([DENIAL], [], since=50.0)
    assert sum(entry["count"] for entry in joining.remove_logged(entries, logged, 50.0)) == left


def test_what_began_before_the_logs_stays():
    entries = counted.build_entries([DENIAL], [], since=150.0)
    assert joining.remove_logged(entries, [log("open", 5)], 150.0) == entries


def test_counters_replace_the_recorder():
    filtered = counted.build_entries([replace(DENIAL, cause="seccomp", number=MOUNT, errno=errno.EPERM)], [], since=0.0)
    recorded = [{**filtered[0], "by": "recorder", "count": 4}, {**filtered[0], "by": "recorder", "operation": "bpf", "count": 1}]
    denials, total = count_equal_denials([], lambda message, denial: {}, 10, recorded, filtered)
    assert [(entry["operation"], entry["by"], entry["count"]) for entry in denials] == [("mount", "counters", 5), ("bpf", "recorder", 1)]
    assert total == 6
