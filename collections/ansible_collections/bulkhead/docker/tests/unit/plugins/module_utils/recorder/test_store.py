# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging of what the kernel counts over daemon restarts and boots, limits, and gaps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import store as recorded
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.store import RecorderStore, encode_access, load_store, name_call

WEB, DB = "a" * 64, "b" * 64
OWNERS = {7: WEB, 8: WEB, 9: DB}


@dataclass
class Call:
    cgroup: int
    number: int
    count: int
    argument: int | None = None
    abi: str = "x86_64"


@dataclass
class Denied:
    cgroup: int
    number: int
    errno: int
    count: int
    abi: str = "x86_64"


@dataclass
class Counts:
    calls: list[Call]
    denied: list[Denied] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)


@pytest.fixture
def store() -> RecorderStore:
    new = RecorderStore({"id": "0a1b2c3d", "since": 1.0, "at": 1.0, "boot_id": "first", "version": "v"})
    new.start_maps("first")
    return new


def merge(store: RecorderStore, counts: Counts, now: float) -> None:
    store.merge_counts(counts, OWNERS.get, "x86_64", now)
    store.recorder["at"] = now


def reload(store: RecorderStore) -> RecorderStore:
    return load_store(store.render())


def test_counters_are_cumulative_within_a_boot(store: RecorderStore) -> None:
    merge(store, Counts([Call(7, 0, 5)]), 2)
    merge(store, Counts([Call(7, 0, 8)]), 3)
    seen = store.instances[WEB].calls["read", "x86_64", None]
    assert (seen.count, seen.first, seen.last) == (8, 2, 3)


def test_a_restarted_daemon_counts_nothing_twice(store: RecorderStore) -> None:
    merge(store, Counts([Call(7, 0, 5)], [Denied(7, 435, 38, 2)]), 2)
    again = reload(store)
    again.start_maps("first")
    merge(again, Counts([Call(7, 0, 6)], [Denied(7, 435, 38, 2)]), 9)
    assert again.instances[WEB].calls["read", "x86_64", None].count == 6
    assert again.instances[WEB].denied["clone3", "x86_64", 38].count == 2


def test_counters_of_another_boot_are_added(store: RecorderStore) -> None:
    merge(store, Counts([Call(7, 0, 5)]), 2)
    again = reload(store)
    again.start_maps("second")
    merge(again, Counts([Call(7, 0, 6)]), 9)
    assert again.instances[WEB].calls["read", "x86_64", None].count == 11


def test_counters_that_began_anew_are_added(store: RecorderStore) -> None:
    merge(store, Counts([Call(7, 0, 5)]), 2)
    merge(store, Counts([Call(7, 0, 3)]), 3)
    assert store.instances[WEB].calls["read", "x86_64", None].count == 8


def test_control_groups_of_one_container_are_added(store: RecorderStore) -> None:
    merge(store, Counts([Call(7, 41, 5, 2), Call(8, 41, 1, 2), Call(9, 41, 1, 10), Call(1, 41, 100, 2)]), 2)
    assert store.instances[WEB].calls["socket", "x86_64", 2].count == 6
    assert list(store.instances[DB].calls) == [("socket", "x86_64", 10)]
    assert set(store.instances) == {WEB, DB}


def test_a_group_that_is_known_later_counts_from_its_begin(store: RecorderStore) -> None:
    merge(store, Counts([Call(10, 0, 5)]), 2)
    store.merge_counts(Counts([Call(10, 0, 6)]), {10: DB}.get, "x86_64", 3)
    assert store.instances[DB].calls["read", "x86_64", None].count == 6


def test_what_the_kernel_lost_is_a_gap_once(store: RecorderStore) -> None:
    merge(store, Counts([], lost={"calls": 3}), 2)
    merge(store, Counts([], lost={"calls": 3}), 3)
    merge(store, Counts([], lost={"calls": 4}), 4)
    assert [(g["kind"], g["lost"], g["from"], g["to"]) for g in store.gaps] == [("lost_calls", 4, 1, 4)]


@pytest.mark.parametrize(
    ("abi", "number", "name"),
    [
        ("x86_64", 288, "accept4"),
        ("aarch64", 242, "accept4"),
        ("x32", 0x40000000, "read"),
        ("i386", 5, "5"),
        ("i386", 435, "clone3"),
        ("x86_64", 9999, "9999"),
    ],
)
def test_calls_have_names(abi: str, number: int, name: str) -> None:
    assert name_call("x86_64", abi, number) == name


def test_accesses_beyond_the_limit_are_a_gap(store: RecorderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_ACCESSES", 3)
    for number in range(5):
        store.add_access(WEB, encode_access({"class": "file", "path": f"/{number}"}), False, 1, 2.0)
    store.add_access(WEB, encode_access({"class": "file", "path": "/0"}), False, 4, 3.0)
    assert len(store.instances[WEB].access) == 3
    assert [(g["kind"], g["source"], g["instance"], g["lost"]) for g in store.gaps] == [("full", "access", WEB, 2)]
    assert store.instances[WEB].access['{"class":"file","path":"/0"}', False].count == 5


def test_all_accesses_of_a_host_are_limited(store: RecorderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_ALL_ACCESSES", 2)
    store.add_access(WEB, "1", False, 1, 2.0)
    store.add_access(DB, "1", False, 1, 2.0)
    store.add_access(DB, "2", False, 1, 2.0)
    assert [(g["kind"], g["instance"]) for g in store.gaps] == [("full", DB)]


def test_the_oldest_instance_is_dropped_with_a_gap(store: RecorderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_INSTANCES", 2)
    store.find_or_add("1" * 64, 1).running = True
    store.find_or_add("2" * 64, 2)
    store.add_access("2" * 64, "1", False, 1, 2.0)
    store.find_or_add("3" * 64, 3)
    assert set(store.instances) == {"1" * 64, "3" * 64}
    assert store.accesses == 0
    assert [g["kind"] for g in store.gaps] == ["full"]


def test_equal_gaps_become_one_unless_far_apart(store: RecorderStore) -> None:
    for begin, end in ((10, 20), (25, 30), (5000, 5001)):
        store.add_gap("lost_messages", "access", "lost", begin, end, lost=2)
    assert [(g["from"], g["to"], g["lost"]) for g in store.gaps] == [(10, 30, 4), (5000, 5001, 2)]


def test_the_number_of_gaps_is_limited(store: RecorderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_GAPS", 3)
    for number in range(10):
        store.add_gap("full", "access", "full", number, number, instance=str(number), lost=1)
    assert len(store.gaps) == 3
    assert sum(g["lost"] for g in store.gaps) == 10


def test_gaps_of_a_start_are_removed_by_another_start(store: RecorderStore) -> None:
    for source, instance in (("calls", WEB), ("access", WEB), ("calls", DB)):
        store.add_gap("start_not_seen", source, "not seen", 1, 20, instance=instance)
    store.note_start(WEB, 10)
    assert [(g["source"], g["instance"]) for g in store.gaps] == [("access", WEB), ("calls", DB)]
    store.note_start(WEB, 30)
    assert [g["instance"] for g in store.gaps] == [DB]


def test_gaps_that_are_not_counted_stay_apart(store: RecorderStore) -> None:
    for begin, end in ((10, 20), (21, 25), (60, 61)):
        store.add_gap("restarted", "access", "it did not run", begin, end)
    assert [(g["from"], g["to"]) for g in store.gaps] == [(10, 25), (60, 61)]


def test_the_file_has_what_the_module_returns(store: RecorderStore) -> None:
    merge(store, Counts([Call(7, 0, 5)], [Denied(7, 435, 38, 2)]), 2)
    store.add_access(WEB, encode_access({"path": "/etc/passwd", "class": "file", "mask": "r"}), True, 3, 2.0)
    store.engines["ci"] = 7.5
    store.ignore(DB)
    store.profiles.append("docker-default")
    again = reload(store)
    assert again.render() == store.render()
    assert again.accesses == 1
    data = json.loads(store.render())
    data.pop("state")
    assert data == store.build_recorded()
    instance = data["instances"][0]
    assert instance["calls"] == [{"name": "read", "abi": "x86_64", "argument": None, "count": 5, "first": 2, "last": 2}]
    assert instance["denied_calls"] == [{"name": "clone3", "abi": "x86_64", "errno": 38, "count": 2, "first": 2, "last": 2}]
    assert instance["access"] == [
        {"class": "file", "path": "/etc/passwd", "mask": "r", "denied": True, "count": 3, "first": 2.0, "last": 2.0}
    ]


def test_ignored_containers_are_limited(store: RecorderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_IGNORED", 2)
    for identifier in ("1", "2", "3"):
        store.ignore(identifier)
    assert list(store.ignored) == ["2", "3"]


@pytest.mark.parametrize("text", ["", "{", '{"format": 2}', "[]"])
def test_a_damaged_file_is_an_error(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        load_store(text)
