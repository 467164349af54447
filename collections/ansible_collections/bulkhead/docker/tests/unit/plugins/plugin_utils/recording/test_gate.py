# SPDX-License-Identifier: GPL-3.0-or-later
"""What must have been recorded before enforcing, what begins the days anew, and the estimate of what is unseen."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.coverage import measure_coverage
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.estimate import estimate_unseen
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.gate import (
    GateSettings,
    find_last_access,
    judge_gate,
    read_gate_settings,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.merge import merge
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import Recording

from .recorded_hosts import DAY, START, make_access, make_call, make_gap, make_instance, make_recorded

EVENTS = {"starts": 2, "stops": 1, "restarts": 1, "start_seen": True}
NOW = 10


def make_replica(number: int = 1, **values: Any) -> dict[str, Any]:
    """Return a container that was seen for ten days and made the same calls as the others."""
    given = {"events": EVENTS, "last": START + NOW * DAY, "calls": [make_call("read", 9), make_call("statx", 1)]} | values
    return make_instance(str(number), **given)


def collect(*collections: dict[str, Any], at: float = NOW, **host: Any) -> Recording:
    """Return the recording of one host. A collection is an instance, or what the host returned."""
    found: Recording | None = None
    if all("events" in each for each in collections):
        collections = (make_recorded(*collections, at=at, **host),)
    for recorded in collections:
        found = merge(found, "web", "web1", recorded)
    assert found
    return found


def find_missing(recording: Recording, stage_since: str = "", **settings: int) -> list[str]:
    return list(judge_gate(recording, GateSettings(**settings), START + NOW * DAY, stage_since).missing)


def with_gaps(*gaps: dict[str, Any]) -> Recording:
    return collect(make_recorded(make_replica(1), make_replica(2), at=NOW) | {"gaps": list(gaps)})


def test_a_complete_recording_passes() -> None:
    gate = judge_gate(collect(make_replica(1), make_replica(2)), GateSettings(), START + NOW * DAY)
    assert (gate.passed, gate.missing, gate.quiet) == (True, (), 10)


def test_a_new_call_begins_the_days_anew() -> None:
    newer = make_replica(2, calls=[make_call("read"), make_call("statx"), make_call("bind", day=8)])
    assert find_missing(collect(make_replica(1), newer)) == ["2 of 7 days without a new call; last new call: bind on 2026-11-28"]
    assert find_missing(collect(make_replica(1), newer), days=2) == []


def test_a_new_argument_is_a_new_call() -> None:
    newer = make_replica(2, calls=[make_call("socket", argument=2), make_call("socket", argument=16, day=8)])
    assert find_missing(collect(make_replica(1), newer)) == ["2 of 7 days without a new call; last new call: socket on 2026-11-28"]


def test_denied_calls_and_accesses_are_nothing_new() -> None:
    newer = make_replica(
        2, denied_calls=[{**make_call("clone3", day=9), "errno": 38}], access=[make_access("/etc/shadow", day=9, denied=True)]
    )
    assert find_missing(collect(make_replica(1), newer)) == []


def test_a_new_access_begins_the_days_anew() -> None:
    newer = make_replica(2, access=[make_access("/etc/passwd"), make_access("/etc/group", day=9)])
    assert find_missing(collect(make_replica(1), newer)) == [
        "1 of 7 days without a new access; last new access: file mask=r path=/etc/group on 2026-11-29"
    ]


def test_a_file_that_an_earlier_rule_allows_is_nothing_new() -> None:
    files = [make_access(f"/usr/lib/lib{number}.so", day=number) for number in range(10)]
    files += [make_access(f"/data/file{number}", "w", day=number) for number in range(10)]
    recording = collect(make_replica(1, access=files), make_replica(2))
    assert find_last_access(recording.access, recording.mounts) == ("file mask=w path=/data/file0", "2026-11-20")
    assert find_missing(recording) == []


def test_other_accesses_are_new_by_their_day() -> None:
    capability = {"class": "capability", "name": "chown", "denied": False, "count": 1, "first": START + 9 * DAY, "last": START + 9 * DAY}
    recording = collect(make_replica(1, access=[make_access("/a"), capability]), make_replica(2))
    assert find_last_access(recording.access, recording.mounts) == ("capability name=chown", "2026-11-29")


def test_a_new_image_resets_days_and_coverage() -> None:
    old = make_replica(1, running=False)
    newer = make_replica(2, image_id="sha256:" + "b" * 64, first=START + 9 * DAY, events={"starts": 1})
    assert find_missing(collect(old, newer)) == [
        "1 of 7 days with the image that runs now; first container of nginx:1 (bbbbbbbbbbbb) on 2026-11-29",
        "1 of 2 containers of the image that runs now recorded.",
        "1 of 2 starts of the image that runs now recorded.",
        "0 of 1 stop of the image that runs now recorded.",
        "0 of 1 restart of the image that runs now recorded.",
    ]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"runtime": "runc 1.3.6"}, ["0 of 7 days with the runtime that runs now; runc 1.3.6 was first recorded on 2026-11-30"]),
        ({"kernel": "7.2.12-amd64"}, ["0 of 7 days with the kernel that runs now; 7.2 was first recorded on 2026-11-30"]),
        ({"kernel": "6.12.200+deb13-amd64"}, []),
        ({"engine": "29.7.2"}, []),
    ],
)
def test_a_new_runtime_or_series_of_kernels_resets_days(host: dict[str, str], message: list[str]) -> None:
    instances = (make_replica(1), make_replica(2))
    assert find_missing(collect(make_recorded(*instances, at=3), make_recorded(*instances, at=NOW, **host))) == message


def test_the_first_collection_counts_from_the_arming() -> None:
    assert find_missing(collect(make_replica(1), make_replica(2), at=NOW)) == []


def test_stage_log_begins_the_days_anew() -> None:
    recording = collect(make_replica(1), make_replica(2))
    assert find_missing(recording, "2026-11-25") == ["5 of 7 days in stage log; it began on 2026-11-25"]
    assert find_missing(recording, "2026-11-23") == []


def test_days_without_a_container_do_not_count() -> None:
    short = [make_replica(number, last=START + 3 * DAY, running=False) for number in (1, 2)]
    assert [message.partition(" days")[0] for message in find_missing(collect(*short))] == ["3 of 7"] * 4


@pytest.mark.parametrize(
    ("events", "settings", "message"),
    [
        ({"stops": 0}, {}, "0 of 1 stop recorded."),
        ({"starts": 1}, {"starts": 3}, "2 of 3 starts recorded."),
        ({"execs": 1}, {"execs": 5}, "2 of 5 commands by exec recorded."),
        ({"health_checks": 1}, {"health_checks": 5}, "2 of 5 health checks recorded."),
        ({"health_checks": 0}, {"health_checks": 5}, ""),
        ({}, {"instances": 3}, "2 of 3 containers recorded."),
    ],
)
def test_events_that_are_missing_are_counted(events: dict[str, int], settings: dict[str, int], message: str) -> None:
    recording = collect(*(make_replica(number, events=EVENTS | events) for number in (1, 2)))
    assert find_missing(recording, **settings) == ([message] if message else [])


@pytest.mark.parametrize(
    ("gap", "message"),
    [
        (make_gap("not_armed", 8, 9), "A gap of the last 7 days: a gap: not_armed (web1 from 2026-11-28 to 2026-11-29)."),
        (make_gap("not_armed", 8, 8.1), "A gap of the last 7 days: a gap: not_armed (web1 on 2026-11-28)."),
        (make_gap("unconfined"), "A gap of the last 7 days: a gap: unconfined (web1 all the time)."),
        (make_gap("audit_immutable", 0), "A gap of the last 7 days: a gap: audit_immutable (web1 since 2026-11-20)."),
        (make_gap("not_armed", 1, 2), ""),
        (make_gap("lost_messages", 8, 9, source="access"), ""),
        (make_gap("start_not_seen", 0, None, instance="1" * 64), ""),
    ],
)
def test_gaps_of_the_last_days_matter(gap: dict[str, Any], message: str) -> None:
    assert find_missing(with_gaps(gap)) == ([message] if message else [])


def test_many_kinds_of_gaps_are_limited() -> None:
    messages = find_missing(with_gaps(*(make_gap("full", 8, 9, text=f"kind {number}") for number in range(7))))
    assert len(messages) == 6
    assert messages[-1] == "2 more kinds of gaps of the last 7 days."


def test_an_open_gap_ends_with_its_recorder() -> None:
    former = make_recorded(make_replica(1), make_replica(2), at=2) | {"gaps": [make_gap("not_armed", 0)]}
    latter = make_recorded(make_replica(1), make_replica(2), at=NOW, since=2, recorder="0000000b")
    assert find_missing(collect(former, latter)) == []


def test_a_start_that_was_never_seen_matters() -> None:
    instances = [make_replica(number, events=EVENTS | {"start_seen": False}) for number in (1, 2)]
    recorded = make_recorded(*instances, at=NOW) | {"gaps": [make_gap("start_not_seen", 0, None, instance="1" * 64)]}
    assert find_missing(collect(recorded)) == [
        "No container was recorded from its creation on; create one anew, because the first start may do what no restart does.",
        "A gap of the last 7 days: a gap: start_not_seen (web1 since 2026-11-20).",
    ]


def test_a_source_that_does_not_record_is_named() -> None:
    recorded = make_recorded(make_replica(1), make_replica(2), at=NOW)
    recorded["sources"] = {"calls": {"status": "unavailable", "reason": "no BTF"}, "access": {"status": "unavailable", "reason": ""}}
    assert sorted(find_missing(collect(recorded))) == [
        "Accesses are not recorded on web1: the recorder is switched off.",
        "Calls are not recorded on web1: no BTF.",
    ]


def test_an_empty_recording_does_not_pass() -> None:
    gate = judge_gate(Recording("web"), GateSettings(), START)
    assert not gate.passed
    assert gate.missing[0] == "No system call was recorded."


def test_settings_come_from_the_variables_of_the_role() -> None:
    assert read_gate_settings({"container_recorder_gate_days": 3, "other": "x"}) == (GateSettings(days=3), [])
    settings, problems = read_gate_settings(
        {"container_recorder_gate_days": "many", "container_recorder_gate_execs": -1, "container_recorder_gate_stops": True}
    )
    assert settings == GateSettings()
    assert problems == [
        "container_recorder_gate_days: 'many' is not a number from 0; write one, such as 7",
        "container_recorder_gate_stops: True is not a number from 0; write one, such as 1",
        "container_recorder_gate_execs: -1 is not a number from 0; write one, such as 0",
    ]


def test_coverage_counts_everything_or_one_image() -> None:
    newer = make_replica(2, image_id="sha256:" + "b" * 64, events={"starts": 5, "execs": 3, "health_checks": 7, "oom": 1})
    recording = collect(make_replica(1), newer)
    total = measure_coverage(recording)
    assert (total.instances, total.hosts, len(total.days), total.starts, total.stops) == (2, ("web1",), 11, 7, 1)
    part = measure_coverage(recording, {"sha256:" + "b" * 64})
    assert (part.instances, part.starts, part.execs, part.health_checks, part.oom, part.starts_seen) == (1, 5, 3, 7, 1, 1)


def test_the_estimate_is_the_share_of_single_calls() -> None:
    instances = [make_replica(number, calls=[make_call("read"), make_call("bind" if number == 1 else "write")]) for number in range(1, 6)]
    estimate = estimate_unseen(collect(*instances))
    assert (estimate.single, estimate.unseen, estimate.per_instance) == (("bind",), 0.1, 0.2)
    assert estimate.text == (
        "1 of 3 calls were made by one container only, so the next container is expected to make 0.2 calls that are not recorded yet "
        "(10.0% of what it does)."
    )


def test_the_estimate_of_few_containers_says_so() -> None:
    assert estimate_unseen(collect(make_replica(1), make_replica(2))).text.endswith(
        "This is coarse, because only 2 containers were recorded."
    )
    one = estimate_unseen(collect(make_replica(1)))
    assert (one.unseen, one.text) == (None, "No estimate of calls that are not recorded yet: 1 of 2 containers recorded.")
    assert estimate_unseen(Recording("web")).unseen is None
