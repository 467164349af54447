# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recording says of itself: who saw a call, on how many containers, and what runs now."""

from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import (
    ContainerConfiguration,
    Environment,
    RecorderEntry,
    Recording,
    Usage,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.sightings import SeenCall, Sighting, describe_access, sum_per_host

NGINX = ContainerConfiguration(
    "nginx:1", "sha256:1", "", "builtin", "docker-default", "remap", True, False, ("cap_chown",), ("front",), ("80/tcp",), ()
)
NEWER = ContainerConfiguration("nginx:2", "sha256:2", "101", "builtin", "docker-default", "remap", True, False, (), ("back",), (), ())


def make_recorder(host: str, name: str, since: str, **values: object) -> RecorderEntry:
    return RecorderEntry(host, name, since, since, {}, {}, **values)  # type: ignore[arg-type]


def test_a_container_seen_by_two_recorders_counts_once() -> None:
    call = SeenCall(
        name="bind",
        abis={"x86_64": "2026-11-20"},
        seen={"a/1": Sighting(3, 1, "2026-11-20", "c1"), "a/2": Sighting(4, 1, "2026-11-22", "c1")},
    )
    assert (call.count, call.instances, call.hosts, call.last, call.is_of_one_instance) == (7, 1, ["a"], "2026-11-22", True)


def test_containers_of_two_hosts_are_different() -> None:
    call = SeenCall(
        name="bind", abis={"x86_64": "2026-11-20"}, seen={"a/1": Sighting(3, 2, "2026-11-20"), "b/2": Sighting(4, 1, "2026-11-22", "c1")}
    )
    assert (call.instances, call.hosts, call.is_of_one_instance) == (3, ["a", "b"], False)


def test_two_containers_of_one_host_are_told_by_their_ids() -> None:
    call = SeenCall(
        name="bind",
        abis={"x86_64": "2026-11-20"},
        seen={"a/1": Sighting(1, 1, "2026-11-20", "c1"), "a/2": Sighting(1, 1, "2026-11-20", "c2")},
    )
    assert (call.instances, call.is_of_one_instance) == (2, False)


def test_an_argument_may_be_newer_than_its_call() -> None:
    call = SeenCall(
        name="socket", abis={"x86_64": "2026-11-20", "arm": "2026-11-21"}, arguments={2: "2026-11-20", 16: "2026-11-27"}, seen={}
    )
    assert (call.first, call.newest, call.machines) == ("2026-11-20", "2026-11-27", ["aarch64", "x86_64"])


def test_current_is_what_runs_under_the_newest_recorder() -> None:
    recorders = [
        make_recorder("a", "1", "2026-11-01T00:00:00Z", running=frozenset({"old"})),
        make_recorder("a", "2", "2026-11-05T00:00:00Z", running=frozenset({"new"})),
    ]
    recording = Recording("web", {recorder.key: recorder for recorder in recorders}, {"old": NGINX, "new": NEWER})
    assert recording.current == [NEWER]
    assert (recording.user, recording.capabilities, recording.networks, recording.ports) == ("101", [], ["back"], [])


def test_without_a_running_container_the_last_one_is_current() -> None:
    usages = {"old": Usage("2026-11-01", "2026-11-02"), "new": Usage("2026-11-02", "2026-11-04")}
    recorder = make_recorder("a", "1", "2026-11-01T00:00:00Z", configurations=usages)
    assert Recording("web", {recorder.key: recorder}, {"old": NGINX, "new": NEWER}).current == [NEWER]


def test_a_recording_of_nothing_has_empty_values() -> None:
    recording = Recording("web")
    assert (recording.first, recording.last, recording.hosts, recording.user, recording.current) == ("", "", [], "", [])


def test_environments_name_their_hosts() -> None:
    environment = Environment("x86_64", "6.12", "26.1.5", "runc 1.1.15", "2.6.0", "4.1.0")
    recorders = [RecorderEntry(host, "1", "", "", {environment: None}, {}) for host in ("b", "a")]  # type: ignore[dict-item]
    assert Recording("web", {recorder.key: recorder for recorder in recorders}).environments == {environment: ["a", "b"]}


def test_the_text_of_an_access_cannot_be_forged() -> None:
    plain = {"class": "file", "mask": "r", "path": "/a", "target": "/b"}
    forged = {"class": "file", "mask": "r", "path": "/a target=/b"}
    assert describe_access(plain) == "file mask=r path=/a target=/b"
    assert describe_access(forged) == 'file mask=r path="/a target=/b"'
    assert describe_access({"class": "capability", "name": "chown"}, True) == "denied capability name=chown"
    assert describe_access({"class": "file", "mask": "r", "owner": True, "path": "/a"}) == "file mask=r owner path=/a"


def test_the_least_number_of_containers_is_per_host() -> None:
    assert sum_per_host({"a/1": 2, "a/2": 3, "b/1": 1}) == 4
