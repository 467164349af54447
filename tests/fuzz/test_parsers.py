# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers with arbitrary input: they return a result or raise their own error, and lose no byte."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import policy
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import flags
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import daemon_json, daemon_merge, observe
from ansible_collections.bulkhead.docker.plugins.module_utils.host import cgroup, process, system
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.ids import IdMaps
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import profile, reading
from ansible_collections.bulkhead.docker.plugins.module_utils.subid import accounts, ranges
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


NUMBERS = st.integers(-5, 2**33) | st.sampled_from(["", "0100", "1e3", "٣", " 5", "0x10"])
SUBIDS = make_lines(st.sampled_from(["root", "dockremap", "1000", "", "#a", "ä"]), NUMBERS, NUMBERS)


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


@given(SUBIDS, st.booleans())
def test_the_map_of_an_engine_has_no_gaps(text: str, numeric_first: bool) -> None:
    next_inside = 0
    for start, unused, count in ranges.build_engine_map(ranges.parse_subid(ranges.SUBUID, text), "dockremap", 1000, numeric_first):
        assert start == next_inside
        next_inside += count


@given(SUBIDS)
def test_overlaps_are_found_as_by_comparing_all_pairs(text: str) -> None:
    file = ranges.parse_subid(ranges.SUBUID, text)
    found = {(a.number, b.number) for a, b in ranges.find_overlaps(file)}
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
    accounts.parse_primary_groups(text)
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
            observe.read_content(text)
    else:
        assert document.source == text
        assert observe.read_content(text) == document.content()


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
            observe.read_content(damaged)
        return
    assert observe.read_content(damaged) == document.content() == (json.loads(damaged) if damaged.strip() else {})


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
        policy.parse_label(text)


# --- what the kernel and systemd write ---


@given(ANYTHING | make_lines(st.sampled_from(["Uid", "Gid", "CapEff", "NoNewPrivs", "Seccomp"]), ANYTHING))
def test_files_of_proc_give_a_result_or_a_value_error(text: str) -> None:
    for parse in (process.parse_status, process.parse_id_map, process.parse_root_read_only, cgroup.find_pids_folder):
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
