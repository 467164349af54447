# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging does not depend on order or repetition, and keeps who saw what when."""

from __future__ import annotations

import copy
import random
from functools import reduce
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.merge import merge, merge_recordings
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import Days, Recording, RecordingError

from .recorded_hosts import DAY, START, make_access, make_call, make_gap, make_instance, make_random_history, make_recorded


def collect(*collections: tuple[str, dict[str, Any]], service: str = "web") -> Recording:
    """Return the recording of some collections: of host and what it returned."""
    found: Recording | None = None
    for host, recorded in collections:
        found = merge(found, service, host, recorded)
    assert found
    return found


def make_histories(seed: int) -> list[tuple[str, dict[str, Any]]]:
    source = random.Random(seed)
    return [entry for host in ("a", "b", "c") for entry in make_random_history(source, host)]


@pytest.mark.parametrize("seed", range(40))
def test_the_order_of_collections_does_not_matter(seed: int) -> None:
    collections = make_histories(seed)
    expected = collect(*collections)
    shuffled = collections[:]
    random.Random(seed).shuffle(shuffled)
    assert collect(*shuffled) == expected


@pytest.mark.parametrize("seed", range(40))
def test_merging_twice_changes_nothing(seed: int) -> None:
    collections = make_histories(seed)
    recording = collect(*collections)
    assert merge_recordings(recording, recording) == recording
    assert collect(*collections, *collections) == recording


@pytest.mark.parametrize("seed", range(40))
def test_branches_merge_in_any_way(seed: int) -> None:
    parts = [collect(entry) for entry in make_histories(seed)]
    source = random.Random(seed)
    left = reduce(merge_recordings, parts)
    right = reduce(lambda later, earlier: merge_recordings(earlier, later), reversed(parts))
    while len(parts) > 1:
        one, other = parts.pop(source.randrange(len(parts))), parts.pop(source.randrange(len(parts)))
        parts.append(merge_recordings(one, other))
    assert left == right == parts[0]


@pytest.mark.parametrize("seed", range(20))
def test_only_the_last_collection_of_each_recorder_counts(seed: int) -> None:
    collections = make_histories(seed)
    newest = {(host, recorded["recorder"]["id"]): (host, recorded) for host, recorded in collections}
    counts = {name: call.count for name, call in collect(*newest.values()).calls.items()}
    assert {name: call.count for name, call in collect(*collections).calls.items()} == counts


def test_the_parts_are_not_changed() -> None:
    collections = make_histories(1)
    one, other = collect(*collections[:1]), collect(*collections[1:])
    before = copy.deepcopy((one, other, collections))
    merge_recordings(one, other)
    assert (one, other, collections) == before


def test_a_second_collection_replaces_the_counts_of_the_first() -> None:
    recording = collect(
        ("a", make_recorded(make_instance(calls=[make_call("read", 10)]), at=1)),
        ("a", make_recorded(make_instance(calls=[make_call("read", 25, 0, 3)]), at=3)),
    )
    assert (recording.calls["read"].count, recording.calls["read"].first, recording.calls["read"].last) == (25, "2026-11-20", "2026-11-23")
    assert [recorder.at for recorder in recording.recorders.values()] == ["2026-11-23T00:00:00Z"]


def test_another_recorder_of_the_host_is_added() -> None:
    recording = collect(
        ("a", make_recorded(make_instance("1", calls=[make_call("read", 10)]))),
        ("a", make_recorded(make_instance("2", calls=[make_call("read", 25)]), recorder="0000000b", since=2, at=3)),
    )
    assert (recording.calls["read"].count, recording.calls["read"].instances, sorted(recording.recorders)) == (
        35,
        2,
        ["a/0000000a", "a/0000000b"],
    )


def test_what_the_host_dropped_is_kept() -> None:
    both = make_recorded(make_instance("1", calls=[make_call("read", 10)]), make_instance("2", calls=[make_call("bind", 3)]))
    recording = collect(("a", both), ("a", make_recorded(make_instance("1", calls=[make_call("read", 11)]), at=2)))
    assert {name: call.count for name, call in recording.calls.items()} == {"bind": 3, "read": 11}
    assert sum(usage.instances for recorder in recording.recorders.values() for usage in recorder.configurations.values()) == 2


def test_replicas_are_instances_of_one_service() -> None:
    first, second = make_instance("1", calls=[make_call("read", 1), make_call("bind", 2)]), make_instance("2", calls=[make_call("read", 5)])
    recording = collect(("a", make_recorded(first, second, make_instance("3", name="other"))))
    assert (recording.calls["read"].instances, recording.calls["bind"].instances) == (2, 1)
    assert recording.calls["bind"].is_of_one_instance
    assert not recording.calls["read"].is_of_one_instance


def test_architectures_are_kept_per_call() -> None:
    recording = collect(
        ("a", make_recorded(make_instance(calls=[make_call("read"), make_call("open")]))),
        ("b", make_recorded(make_instance("2", calls=[make_call("read", abi="aarch64")]), machine="aarch64")),
    )
    assert (recording.calls["read"].machines, recording.calls["open"].machines) == (["aarch64", "x86_64"], ["x86_64"])
    assert recording.calls["read"].hosts == ["a", "b"]


def test_arguments_are_kept_for_the_calls_that_have_them() -> None:
    calls = [make_call("socket", argument=2), make_call("socket", argument=16, day=3), make_call("clone"), make_call("read")]
    recording = collect(("a", make_recorded(make_instance(calls=calls))))
    assert recording.calls["socket"].arguments == {2: "2026-11-20", 16: "2026-11-23"}
    assert recording.calls["clone"].arguments == {None: "2026-11-20"}
    assert recording.calls["read"].arguments == {}
    assert recording.calls["socket"].count == 2


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        (
            make_recorded(machine="riscv64"),
            "a: machine 'riscv64' has no table of system calls; record on aarch64 or x86_64, or remove the host from the run",
        ),
        (
            make_recorded() | {"format": 2},
            "a: format 2 of what was recorded is unknown; use the release of Bulkhead that armed the recorder",
        ),
        (make_recorded(make_instance(calls=[make_call("raed")])), "a: 'raed' is not a system call that this release knows"),
        (make_recorded(make_instance(calls=[make_call("read", abi="mips")])), "a: 'mips' is not an ABI that this release knows"),
    ],
)
def test_what_cannot_be_merged_is_one_message(recorded: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordingError) as error:
        merge(None, "web", "a", recorded)
    assert str(error.value).startswith(message)


def test_recordings_of_two_services_are_not_merged() -> None:
    with pytest.raises(RecordingError, match="web: a recording of db cannot be merged with it"):
        merge_recordings(Recording("web"), Recording("db"))


def test_a_call_without_a_name_is_kept_by_number() -> None:
    assert list(collect(("a", make_recorded(make_instance(calls=[make_call("999")])))).calls) == ["999"]


def test_a_host_without_the_service_adds_nothing() -> None:
    assert merge(None, "web", "a", make_recorded(make_instance(name="other"))) == Recording("web")


def test_accesses_are_told_by_all_their_keys() -> None:
    accesses = [
        make_access("/etc/passwd", day=2),
        make_access("/etc/passwd", "w", denied=True),
        make_access("/a", "w", owner=True),
        {"class": "capability", "name": "chown", "denied": False, "count": 4, "first": START, "last": START},
    ]
    recording = collect(("a", make_recorded(make_instance(access=accesses))), ("b", make_recorded(make_instance("2", access=accesses[:1]))))
    assert [(seen.key, seen.first, seen.hosts) for seen in recording.access] == [
        ("capability name=chown", "2026-11-20", ["a"]),
        ("file mask=w owner path=/a", "2026-11-20", ["a"]),
        ("denied file mask=w path=/etc/passwd", "2026-11-20", ["a"]),
        ("file mask=r path=/etc/passwd", "2026-11-22", ["a", "b"]),
    ]


def test_a_new_runtime_is_a_second_environment() -> None:
    recording = collect(("a", make_recorded(make_instance(), at=1)), ("a", make_recorded(make_instance(), at=4, runtime="runc 1.3.6")))
    found = {environment.runtime: days for recorder in recording.recorders.values() for environment, days in recorder.environments.items()}
    assert found == {"runc 1.1.15": Days("2026-11-21", "2026-11-21"), "runc 1.3.6": Days("2026-11-24", "2026-11-24")}


def test_an_image_with_another_digest_is_a_configuration() -> None:
    newer = make_instance("2", image_id="sha256:" + "b" * 64, first=START + 3 * DAY, last=START + 4 * DAY)
    recording = collect(("a", make_recorded(make_instance(running=False), newer, at=4)))
    assert [configuration.image_id for configuration in recording.current] == ["sha256:" + "b" * 64]
    assert len(recording.configurations) == 2
    assert (recording.first, recording.last) == ("2026-11-20", "2026-11-24")


def test_names_of_users_tokens_and_random_volumes_are_not_kept() -> None:
    mounts = [
        {"destination": "/x", "type": "bind", "source": "/home/alice/x", "read_only": True},
        {"destination": "/y", "type": "volume", "source": "0123456789abcdef" * 4, "read_only": False},
    ]
    recording = collect(("a", make_recorded(make_instance(mounts=mounts, written=["/home/alice/.cache"]))))
    assert [mount.source for mount in recording.mounts] == ["/home/*/x", ""]
    assert recording.written == ("/home/*/.cache",)
    assert "hunter2" not in repr(recording)


def test_gaps_of_other_containers_and_profiles_are_left_out() -> None:
    recorded = make_recorded(make_instance("1"), make_instance("2", name="other"))
    recorded["gaps"] = [
        make_gap("not_armed", 0, 1),
        make_gap("start_not_seen", 0, None, instance="1" * 64),
        make_gap("start_not_seen", 0, None, instance="2" * 64),
        make_gap("profile_replaced", 0, None, source="access", profile="docker-default"),
        make_gap("profile_replaced", 0, None, source="access", profile="bulkhead-web"),
    ]
    gaps = [gap for unused, gap in collect(("a", recorded)).gaps]
    assert [(gap.kind, gap.instance, gap.profile, gap.begin, gap.end) for gap in gaps] == [
        ("not_armed", "", "", "2026-11-20", "2026-11-21"),
        ("profile_replaced", "", "docker-default", "2026-11-20", ""),
        ("start_not_seen", "1" * 12, "", "2026-11-20", ""),
    ]


def test_the_highest_peaks_are_kept() -> None:
    low, high = make_instance("1", peaks={"pids": 3, "memory": None}), make_instance("2", peaks={"pids": 9, "memory": 4})
    assert collect(("a", make_recorded(high)), ("b", make_recorded(low))).peaks == {"memory": 4, "pids": 9}


def test_many_containers_are_counted_and_some_are_named() -> None:
    instances = [make_instance(f"{number:012x}", events={"starts": 1}) for number in range(80)]
    recorder = collect(("a", make_recorded(*instances))).recorders["a/0000000a"]
    assert len(recorder.instances) == 50
    assert [usage.instances for usage in recorder.configurations.values()] == [80]
