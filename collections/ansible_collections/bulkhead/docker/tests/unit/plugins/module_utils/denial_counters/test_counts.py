# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import struct

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters import counts, layout, pins

ID = "c0ffee" + "0" * 58
NONE = layout.NO_CAPABILITY << 24


def decode(call: int, reason: int, path: str = f"/system.slice/docker-{ID}.scope") -> counts.CountedDenial:
    key, value = struct.pack("=QII", 7, call, reason), struct.pack("=QQQ", 3, 2_000_000_000, 5_000_000_000)
    return counts.decode_denial(key, value, {7: path} if path else {}, 1000.0)


def test_denial_is_decoded():
    found = decode(2 << 24 | 5, 1 | layout.CAPABILITIES << 16 | 21 << 24 | 1 << 13)
    assert (found.container, found.abi, found.number, found.errno) == (ID, "x32", 5, 1)
    assert (found.cause, found.capability, found.is_root, found.in_namespace) == ("capabilities", 21, True, False)
    assert (found.count, found.first, found.last) == (3, 1002.0, 1005.0)


def test_unknown_number_and_capability_are_none():
    found = decode(0xFFFFFF, 38 | layout.SECCOMP << 16 | NONE | 1 << 12)
    assert (found.number, found.errno, found.cause, found.capability, found.in_namespace) == (-1, 38, "seccomp", None, True)


@pytest.mark.parametrize(("number", "ignored"), [(0, ""), (1, "setuid"), (2, "setgid"), (3, "file capabilities")])
def test_what_was_ignored_is_decoded(number, ignored):
    found = decode(59, layout.NO_NEW_PRIVILEGES << 16 | NONE | number << 14)
    assert (found.errno, found.cause, found.capability, found.ignored) == (0, "no_new_privileges", None, ignored)
    assert (found.is_root, found.in_namespace) == (False, False)


@pytest.mark.parametrize("path", ["", "/system.slice/cron.service"])
def test_group_without_a_container(path):
    assert decode(1, 1 | NONE, path).container == ""


@pytest.mark.parametrize(
    ("names", "last", "found"),
    [
        ((), True, False),
        ((f"{layout.VERSION}-abc",), True, True),
        ((f"{layout.VERSION}-abc",), False, False),
        ((f"{layout.VERSION - 1}-abc",), True, False),
        ((f"{layout.VERSION}0-abc",), True, False),
    ],
)
def test_only_complete_pins_of_this_layout_are_read(tmp_path, monkeypatch, names, last, found):
    monkeypatch.setattr(pins, "PINS", str(tmp_path))
    for name in names:
        (tmp_path / name).mkdir()
        if last:
            (tmp_path / name / "link_sys_exit").touch()
    assert pins.find_counter_pins() == (f"{tmp_path}/{names[0]}" if found else None)


def test_nothing_loaded_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(pins, "PINS", str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError, match="nothing that this version can read is loaded"):
        counts.read_counts()


def test_last_denial_of_each_process_is_found(monkeypatch):
    """A name whose denial is not counted any more is left out."""
    path = f"/system.slice/docker-{ID}.scope"
    call = struct.pack("=II", 165, 1 | layout.SECCOMP << 16 | NONE)
    maps = {
        "names": [(struct.pack("=Q", 7), path.encode().ljust(layout.NAME_SIZE, b"\0"))],
        "denials": [(struct.pack("=Q", 7) + call, struct.pack("=QQQ", 2, 1, 2))],
        "recent": [
            (struct.pack("=Q16s", 7, b"sh"), call),
            (struct.pack("=Q16s", 7, b"gone"), struct.pack("=II", 1, 1)),
            (struct.pack("=Q16s", 8, b"other"), call),
        ],
        "lost": [],
    }
    monkeypatch.setattr(counts, "_open", contextlib.nullcontext)
    monkeypatch.setattr(counts.bpf, "read_entries", lambda name, key_size, value_size: iter(maps[name]))
    monkeypatch.setattr(counts.bpf, "look_up", lambda name, key, size: None)
    monkeypatch.setattr(counts, "read_statistics", lambda: {"sys_exit": (0, 0, 3), "cap_capable": (0, 5, 0)})
    (found,) = counts.read_last_denials().items()
    assert (found[0], found[1].count) == ((ID, "sh"), 2)
    read = counts.read_counts()
    assert [denial.comm for denial in read.denials] == ["sh"]
    assert (read.lost, read.missed) == ({}, {"sys_exit": 3})
