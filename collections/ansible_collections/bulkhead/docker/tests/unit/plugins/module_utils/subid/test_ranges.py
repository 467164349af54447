# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.overlaps import find_overlaps
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.ranges import (
    SUBUID,
    build_engine_map,
    find_repeats,
    parse_subid,
)

ODD = (
    "# made by hand\n"
    "alice:100000:65536\n"
    "\n"
    "  # indented comment\n"
    "1001:165536:65536\r\n"
    "bob:abc:65536\n"
    "just words\n"
    "\tcarol:400000:1000  \n"
    "dockremap:231072:65536"
)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a:1:2", "a:1:2\n", "a:1:2\r\nb:5:2\r\n", "#\n\n\n", ODD, "caf\udce9:1:2\n", "a:1:2\n\x0b\nb:9:9\n"],
)
def test_every_byte_is_kept(text: str) -> None:
    file = parse_subid(SUBUID, text)
    assert file.text() == text
    assert file.remove_lines([]).text() == text


def test_missing_file() -> None:
    file = parse_subid(SUBUID, None)
    assert not file.present
    assert file.text() == ""
    assert file.add_range("a", 1, 2).present


def test_lines_are_read_as_the_engine_does() -> None:
    file = parse_subid(SUBUID, ODD)
    assert [(line.number, line.owner, line.start, line.count) for line in file.ranges] == [
        (2, "alice", 100000, 65536),
        (5, "1001", 165536, 65536),
        (8, "carol", 400000, 1000),
        (9, "dockremap", 231072, 65536),
    ]
    assert [line.number for line in file.problems()] == [6, 7]
    assert file.locate(file.ranges[1]) == "/etc/subuid:5 (1001:165536:65536)"


@pytest.mark.parametrize(
    ("line", "problem", "stops"),
    [
        ("a:1", "has 2 fields", True),
        ("a", "has 1 fields", True),
        ("a:1:2:3", "has 4 fields", True),
        (":1:2", "no user", False),
        ("a::2", "the start ''", False),
        ("a:1:", "the count ''", False),
        ("a:0x10:2", "the start '0x10'", False),
        ("a:0100:2", "without leading zeros", False),
        ("a:-5:2", "the start '-5'", False),
        ("a:+5:2", "the start '+5'", False),
        ("a: 5:2", "the start ' 5'", False),
        ("a:99999999999:2", "the start '99999999999'", False),
        ("a:1:0", "count 0", False),
        ("a:4294967295:1", "last ID", False),
        ("a:4294967294:2", "last ID", False),
        ("a:1:4294967295", "last ID", False),
        ("a:4294967294:1", "", False),
        ("a:0:65536", "", False),
        ("#a:1", "", False),
    ],
)
def test_malformed(line: str, problem: str, stops: bool) -> None:
    (parsed,) = parse_subid(SUBUID, line + "\n").lines
    assert (problem in parsed.problem) if problem else not parsed.problem
    assert parsed.stops_engines is stops


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "x:5:6\n"),
        ("a:1:2\n", "a:1:2\nx:5:6\n"),
        ("a:1:2", "a:1:2\nx:5:6\n"),
        ("a:1:2\r\n", "a:1:2\r\nx:5:6\n"),
        ("# end", "# end\nx:5:6\n"),
    ],
)
def test_a_line_is_added_at_the_end(before: str, after: str) -> None:
    assert parse_subid(SUBUID, before).add_range("x", 5, 6).text() == after


def test_only_the_dropped_line_goes() -> None:
    file = parse_subid(SUBUID, ODD)
    dropped = [line for line in file.ranges if line.owner == "1001"]
    assert file.remove_lines(dropped).text() == ODD.replace("1001:165536:65536\r\n", "")


@pytest.mark.parametrize(
    ("text", "uids", "pairs"),
    [
        ("a:100:10\nb:110:10\n", {}, []),
        ("a:100:10\nb:109:10\n", {}, [(1, 2)]),
        ("b:109:10\na:100:10\n", {}, [(1, 2)]),
        ("a:100:10\na:105:10\n", {}, []),
        ("a:100:10\n7:105:10\n", {"a": 7}, []),
        ("a:100:10\n7:105:10\n", {"a": 8}, [(1, 2)]),
        ("a:0:1000\nb:10:5\nc:20:5\n", {}, [(1, 2), (1, 3)]),
        ("a:0:1000\nb:10:50\nc:20:5\n", {}, [(1, 2), (1, 3), (2, 3)]),
        ("a:100:10\nb:x:10\n#b:100:10\n", {}, []),
        ("a:100:10\r\nb:100:10\r\n", {}, [(1, 2)]),
    ],
)
def test_overlaps(text: str, uids: dict[str, int], pairs: list[tuple[int, int]]) -> None:
    assert [(a.number, b.number) for a, b in find_overlaps(parse_subid(SUBUID, text), uids)] == pairs


def test_the_same_ids_twice_for_one_user() -> None:
    file = parse_subid(SUBUID, "a:100:10\n7:105:10\nb:300:5\nb:300:5\n")
    assert [(x.number, y.number) for x, y in find_repeats(file, "a", 7)] == [(1, 2)]
    assert find_repeats(file, "a", 8) == []


@pytest.mark.parametrize(
    ("text", "numeric_first", "rows"),
    [
        ("d:231072:65536\n", False, [[0, 231072, 65536]]),
        ("d:500000:10\nx:1:2\nd:231072:65536\n", False, [[0, 500000, 10], [10, 231072, 65536]]),
        ("d:500000:10\n103:231072:65536\n", False, [[0, 500000, 10], [10, 231072, 65536]]),
        ("d:500000:10\n103:231072:65536\n", True, [[0, 231072, 65536]]),
        ("d:500000:10\n", True, [[0, 500000, 10]]),
        ("x:1:2\n", True, []),
    ],
)
def test_the_map_that_an_engine_makes(text: str, numeric_first: bool, rows: list[list[int]]) -> None:
    assert build_engine_map(parse_subid(SUBUID, text), "d", 103, numeric_first) == rows
