# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers with arbitrary input: they return a result or raise their own error, and lose no byte."""

from __future__ import annotations

import ctypes
import json
import re
import struct
from contextlib import suppress
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import labels, policy
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import flags
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import content as content_reader
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import daemon_json, daemon_merge
from ansible_collections.bulkhead.docker.plugins.module_utils.host import accounts, cgroup, process, process_status, system
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.ids import IdMaps
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import profile, reading
from ansible_collections.bulkhead.docker.plugins.module_utils.subid import allocate, overlaps, ranges
from hypothesis import given, settings
from hypothesis import strategies as st

settings.register_profile("quick", max_examples=150, deadline=None)
settings.load_profile("quick")

ANYTHING = st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))
KEYS = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)
LAYOUTS = st.sampled_from([{}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}])


def make_lines(*fields: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """Generate text that resembles lines of colon-separated fields."""
    line = st.tuples(*fields).map(lambda parts: ":".join(map(str, parts)))
    return st.lists(line | ANYTHING, max_size=8).flatmap(lambda found: st.sampled_from(["\n", "\r\n"]).map(lambda end: end.join(found)))


BASES = st.sampled_from(["{}", "+{}", " {}", "0{}", "{0:#x}", "0{0:o}", "{0:#b}", "{} ", "-{}", "00{}", "{}\r", "\t{}"])
IDS = st.integers(200_000, 400_000) | st.integers(-5, 2**33) | st.integers(0, 2**70)
NUMBERS = st.builds(lambda form, number: form.format(number), BASES, IDS) | st.sampled_from(
    ["", "0100", "1e3", "٣", " 5", "0x10", "65536:x"]
)
SUBIDS = make_lines(st.sampled_from(["root", "dockremap", "1000", "", "#a", "ä", " bob", "+", "-x"]), NUMBERS, NUMBERS)


def read_as_c(value: str) -> int | None:
    """Return a number as the C library reads it, as newuidmap uses it (base 0, up to the end)."""
    raw = value.encode("utf-8", "surrogateescape")
    if not raw or raw.lstrip(b" \t\n\v\f\r").startswith(b"-"):
        return None
    end = ctypes.c_char_p()
    buffer = ctypes.create_string_buffer(raw)
    ctypes.set_errno(0)
    found = STRTOUL(buffer, ctypes.byref(end), 0)
    return None if end.value or ctypes.get_errno() else int(found)


STRTOUL = ctypes.CDLL(None, use_errno=True).strtoul
STRTOUL.restype = ctypes.c_ulong


def list_read_ranges(text: str) -> list[tuple[int, int]]:
    """Return the ranges of all programs, written anew from shadow lib/subordinateio.c and moby/sys/user user.go."""
    found = []
    for line in text.split("\n"):
        fields = line.strip(" \t\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000").split(":")
        values = [int(value) if re.fullmatch("[+-]?[0-9]+", value) else 0 for value in (*fields, "", "")[1:3]]
        found.append((values[0], values[1]))
        fields = line.split("\0")[0].split(":")
        if len(fields) >= 3 and all(fields[:3]) and line[0] not in "+-" and len(line.encode("utf-8", "surrogateescape")) < 1024:
            start, count = read_as_c(fields[1]), read_as_c(fields[2])
            if start is not None and count is not None:
                found.append((start, count))
    return [(start, start + count - 1) for start, count in found if count > 0]


# --- /etc/subuid, /etc/subgid ---


@given(SUBIDS)
def test_no_byte_of_a_subid_file_is_lost(text: str) -> None:
    file = ranges.parse_subid(ranges.SUBUID, text)
    assert file.text() == text
    for line in file.ranges:
        assert 0 <= line.start <= line.last <= ranges.LAST_ID
    grown = file.add_range("dockremap", 231072, 65536)
    assert grown.text().startswith(text)
    assert grown.lines[-1].is_range


@given(SUBIDS, SUBIDS)
def test_a_range_that_any_program_reads_is_not_allocated(subuid: str, subgid: str) -> None:
    files = ranges.parse_subid(ranges.SUBUID, subuid), ranges.parse_subid(ranges.SUBGID, subgid)
    found = allocate.allocate_range(allocate.RangeRequest("newcomer"), *files, allocate.Accounts({"root": 0}, {"root": 0}))
    for text, file in ((subuid, found.subuid), (subgid, found.subgid)):
        own = [line for line in file.ranges if line.owner == "newcomer"]
        assert len(own) == (not found.errors)
        for line in own:
            assert [(a, b) for a, b in list_read_ranges(text) if a <= line.last and line.start <= b] == []
        if own:
            assert own[0].start <= 2**31 - 65536


@given(SUBIDS)
def test_a_usable_range_is_one_for_every_program(text: str) -> None:
    for line in ranges.parse_subid(ranges.SUBUID, text).ranges:
        if not line.newuidmap_problem:
            assert line.taken == ((line.start, line.last),)


@given(SUBIDS, st.booleans())
def test_the_map_of_an_engine_has_no_gaps(text: str, numeric_first: bool) -> None:
    next_inside = 0
    for start, unused, count in ranges.build_engine_map(ranges.parse_subid(ranges.SUBUID, text), "dockremap", 1000, numeric_first):
        assert start == next_inside
        next_inside += count


@given(SUBIDS)
def test_overlaps_are_found_as_by_comparing_all_pairs(text: str) -> None:
    file = ranges.parse_subid(ranges.SUBUID, text)
    found = {(a.number, b.number) for a, b in overlaps.find_overlaps(file)}
    expected = {
        (a.number, b.number)
        for a in file.ranges
        for b in file.ranges
        if a.number < b.number and a.owner != b.owner and a.start <= b.last and b.start <= a.last
    }
    assert found == expected


@given(make_lines(st.text(max_size=5), st.just("x"), NUMBERS, NUMBERS))
def test_account_files_give_numbers(text: str) -> None:
    assert all(isinstance(number, int) for number in accounts.parse_ids(text).values())
    assert accounts.parse_lowest(text) >= 0


# --- daemon.json ---


@given(ANYTHING)
def test_a_daemon_json_is_parsed_or_rejected_in_one_line(text: str) -> None:
    try:
        document = daemon_json.parse_daemon_json(text, "/etc/docker/daemon.json")
    except daemon_json.DaemonJsonError as error:
        assert str(error).startswith("/etc/docker/daemon.json")
        assert "\n" not in str(error)
        with pytest.raises(ValueError):
            content_reader.read_content(text)
    else:
        assert document.source == text
        assert content_reader.read_content(text) == document.content()


@given(OBJECTS, LAYOUTS)
def test_a_valid_daemon_json_is_written_back_to_the_byte(content: dict[str, Any], layout: dict[str, Any]) -> None:
    text = json.dumps(content, **layout)
    document = daemon_json.parse_daemon_json(text)
    assert document.content() == content
    assert document.text() == text


@given(OBJECTS, LAYOUTS, OBJECTS, st.frozensets(KEYS, max_size=3))
def test_unmanaged_keys_stay_as_they_are(
    content: dict[str, Any], layout: dict[str, Any], managed: dict[str, Any], removed: frozenset[str]
) -> None:
    document = daemon_json.parse_daemon_json(json.dumps(content, **layout))
    raw = {member.key: member.raw for member in document.members}
    for key, value in managed.items():
        daemon_merge.set_member(document, key, value)
    for key in removed:
        daemon_merge.remove_member(document, key)
    after = daemon_json.parse_daemon_json(document.text())
    assert after.content() == {key: value for key, value in {**content, **managed}.items() if key not in removed}
    assert all(member.raw == raw[member.key] for member in after.members if member.key not in managed)


@given(OBJECTS, st.text(alphabet='{}[]",:\\ 0tfn\ufeff\x00', max_size=3), st.integers(0, 200), st.integers(0, 3))
def test_a_damaged_daemon_json_is_parsed_as_json_or_rejected(content: dict[str, Any], inserted: str, at: int, cut: int) -> None:
    text = json.dumps(content)
    damaged = text[:at] + inserted + text[at + cut :]
    try:
        document = daemon_json.parse_daemon_json(damaged)
    except daemon_json.DaemonJsonError:
        with pytest.raises(ValueError):
            content_reader.read_content(damaged)
        return
    assert content_reader.read_content(damaged) == document.content() == (json.loads(damaged) if damaged.strip() else {})


# --- profiles ---


@given(ANYTHING | OBJECTS.map(json.dumps))
def test_a_seccomp_profile_is_parsed_or_rejected(text: str) -> None:
    try:
        reading.read_profile(text, "mine")
    except ValueError as error:
        assert str(error)
    try:
        parsed = profile.parse_profile(text, "mine")
    except ValueError as error:
        assert str(error)
    else:
        assert reading.read_profile(text, "mine") == parsed


@given(ANYTHING)
def test_labels_and_modes_of_apparmor_are_parsed(text: str) -> None:
    assert all(isinstance(mode, str) for mode in policy.parse_modes(text).values())
    with suppress(ValueError):
        labels.parse_label(text)


# --- what the kernel and systemd write ---


@given(ANYTHING | make_lines(st.sampled_from(["Uid", "Gid", "CapEff", "NoNewPrivs", "Seccomp"]), ANYTHING))
def test_files_of_proc_give_a_result_or_a_value_error(text: str) -> None:
    for parse in (process.parse_status, process_status.parse_id_map, process.parse_root_read_only, cgroup.find_pids_folder):
        with suppress(ValueError):  # read_process reports an unreadable process, which makes its layers unknown
            parse(text)


@given(st.lists(ANYTHING.map(lambda text: text.replace("\0", "")), max_size=6))
def test_flags_of_an_engine_are_parsed(argv: list[str]) -> None:
    found = flags.parse_flags(flags.find_dockerd_arguments(["dockerd", *argv]))
    assert all(isinstance(value, str) for value in found.values())


@given(ANYTHING | st.lists(st.text(alphabet="ID=\"'\\ $x#", max_size=8), max_size=5).map("\n".join))
def test_any_os_release_is_parsed(text: str) -> None:
    system._parse_os_release(text)


# --- access control lists ---


@given(st.binary(max_size=64) | st.lists(st.tuples(st.integers(0, 40), st.integers(0, 7), st.integers(0, 70000)), max_size=6).map(
    lambda entries: struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
))  # fmt: skip
def test_an_access_control_list_is_mapped_or_rejected(raw: bytes) -> None:
    ids = IdMaps([[0, 231072, 65536]], [[0, 231072, 65536]])
    try:
        mapped = ids.map_acl(raw)
    except ValueError:  # Unmapped is a ValueError
        return
    assert len(mapped) == len(raw)
