# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import bpf, counts, pins
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.counts import Call, DeniedCall

ONCE = struct.pack("<Q", 1)


def make_key(cgroup: int, abi: int, number: int, other: int = 0, flag: int = 0) -> bytes:
    return struct.pack("<QII", cgroup, flag << 31 | abi << 24 | number, other)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (make_key(7, 0, 1), Call(7, "x86_64", 1, None, 1)),
        (make_key(7, 1, 4), Call(7, "i386", 4, None, 1)),
        (make_key(7, 2, 0), Call(7, "x32", 0, None, 1)),
        (make_key(7, 3, 198, 2, flag=1), Call(7, "aarch64", 198, 2, 1)),
        (make_key(7, 4, 0xF0005), Call(7, "arm", 0xF0005, None, 1)),
        (make_key(7, 0, 135, 0xFFFFFFFF, flag=1), Call(7, "x86_64", 135, 0xFFFFFFFF, 1)),
        (make_key(7, 0, 56, 0, flag=1), Call(7, "x86_64", 56, 0, 1)),
        (make_key(1 << 40, 0, 0xFFFFFF), Call(1 << 40, "x86_64", -1, None, 1)),
    ],
)
def test_call_is_decoded(key, expected):
    assert counts.decode_call(key, ONCE) == expected


def test_denied_call_is_decoded():
    assert counts.decode_denied(make_key(7, 0, 165, 1), struct.pack("<Q", 1000)) == DeniedCall(7, "x86_64", 165, 1, 1000)


def test_name_ends_at_the_first_zero():
    """The kernel leaves what it does not write."""
    assert counts.decode_name(b"/docker/\xffa\0old".ljust(256, b"x")) == "/docker/\udcffa"


class Kernel:
    """Maps in memory; a descriptor is the place of a map's name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.maps: dict[str, dict[bytes, bytes]] = {"calls": {}, "denied": {}, "tasks": {}, "names": {}, "lost": {}}
        names = list(self.maps)
        monkeypatch.setattr(counts, "open_map", names.index)
        monkeypatch.setattr(counts.os, "close", lambda descriptor: None)
        monkeypatch.setattr(bpf, "read_entries", lambda descriptor, *sizes: iter(self.maps[names[descriptor]].items()))
        monkeypatch.setattr(bpf, "look_up", lambda descriptor, key, size: self.maps[names[descriptor]].get(key))
        monkeypatch.setattr(bpf, "delete", lambda descriptor, key: self.maps[names[descriptor]].pop(key, None))


@pytest.fixture(name="kernel")
def fixture_kernel(monkeypatch):
    return Kernel(monkeypatch)


def test_counts_are_read(kernel):
    kernel.maps["calls"][make_key(7, 0, 1)] = ONCE
    kernel.maps["denied"][make_key(7, 0, 165, 1)] = ONCE
    kernel.maps["names"][struct.pack("<Q", 7)] = b"/a".ljust(256, b"\0")
    found = counts.read_counts()
    assert found == counts.CallCounts([Call(7, "x86_64", 1, None, 1)], [DeniedCall(7, "x86_64", 165, 1, 1)], {7: "/a"}, {})


def test_losses_are_named_by_map(kernel):
    kernel.maps["lost"] = {struct.pack("<I", index): struct.pack("<Q", count) for index, count in enumerate((3, 0, 0, 2, 5))}
    assert counts.read_counts().lost == {"calls": 3, "names": 2, "missed": 5}


def test_counts_of_removed_cgroups_are_forgotten(kernel):
    for cgroup in (7, 8):
        kernel.maps["calls"][make_key(cgroup, 0, 1)] = ONCE
        kernel.maps["denied"][make_key(cgroup, 0, 165, 1)] = ONCE
        kernel.maps["names"][struct.pack("<Q", cgroup)] = b"/a"
    counts.forget_cgroups({7})
    assert [len(kernel.maps[name]) for name in ("calls", "denied", "names")] == [1, 1, 1]
    assert counts.read_counts().calls[0].cgroup == 8


def test_counts_of_numbers_are_forgotten(kernel):
    kernel.maps["calls"] = {make_key(7, 0, number): ONCE for number in (1, 1001)}
    counts.forget_numbers({1001})
    assert [call.number for call in counts.read_counts().calls] == [1]


def test_cgroup_of_a_process_is_found_after_its_end(kernel):
    kernel.maps["tasks"][struct.pack("<I", 999_999_999)] = struct.pack("<IIQ", 1, 0, 4711)
    assert counts.find_cgroup_of(999_999_999) == 4711


def test_cgroup_of_an_unknown_process_is_unknown(kernel):
    assert counts.find_cgroup_of(999_999_999) is None


def test_missing_pin_says_what_to_do(monkeypatch):
    monkeypatch.setattr(pins, "find_folder", lambda: "/missing/version")
    monkeypatch.setattr(
        bpf, "open_pinned", lambda path: (nothing for nothing in ()).throw(FileNotFoundError(2, "No such file or directory"))
    )
    with pytest.raises(pins.RecorderError, match=r"^/missing/version/calls: No such file or directory; arm the recorder again$"):
        pins.open_map("calls")


def test_reader_is_not_interrupted_by_ordinary_tasks(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, policy, parameter: asked.append((policy, parameter.sched_priority)))
    with pins.without_preemption():
        assert asked == [(os.SCHED_FIFO, 1)]
    assert asked[1:] == [(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)]


def test_reader_without_the_right_to_it_goes_on(monkeypatch):
    def refuse(*unused: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pins.without_preemption():
        pass
    with pytest.raises(ValueError, match="inside"), pins.without_preemption():
        raise ValueError("inside")
