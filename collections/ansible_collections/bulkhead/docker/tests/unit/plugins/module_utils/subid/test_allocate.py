# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.allocate import (
    Accounts,
    RangeRequest,
    allocate_range,
    find_free_start,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.notes import add_notes
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.ranges import SUBGID, SUBUID, parse_subid

UIDS = {"root": 0, "alice": 1000, "bob": 1001, "nobody": 65534}
GIDS = {"root": 0, "alice": 1000, "bob": 1001, "nogroup": 65534}
ACCOUNTS = Accounts(UIDS, GIDS)
DEBIAN = "alice:100000:65536\nbob:165536:65536\n"


def blocks(*starts: int) -> str:
    return "".join(f"u{n}:{start}:65536\n" for n, start in enumerate(starts))


@pytest.mark.parametrize(
    ("subuid", "subgid", "expected"),
    [
        ("", "", 231072),
        (DEBIAN, DEBIAN, 231072),
        (DEBIAN + "carol:231072:65536\n", DEBIAN, 296608),
        (DEBIAN, DEBIAN + "carol:231072:65536\n", 296608),
        (DEBIAN + "carol:231072:65536\n", DEBIAN + "carol:296608:65536\n", 362144),
        ("carol:240000:10\n", "", 296608),
        ("carol:296607:1\n", "", 296608),
        ("carol:231071:1\n", "", 231072),
        # all above taken up to nspawn's ranges: below the desired start, on the same grid
        (blocks(231072, 296608, 362144, 427680), "", 100000),
        (blocks(100000, 165536, 231072, 296608, 362144, 427680), "", 0x70000000),
        ("carol:65536:458752\ndave:1879048192:65536\n", "", 0x70000000 + 65536),
    ],
)
def test_the_next_free_range(subuid: str, subgid: str, expected: int) -> None:
    found = allocate_range(RangeRequest("dockremap"), parse_subid(SUBUID, subuid), parse_subid(SUBGID, subgid), ACCOUNTS)
    assert found.errors == []
    assert found.subuid.text() == subuid + f"dockremap:{expected}:65536\n"
    assert found.subgid.text() == subgid + f"dockremap:{expected}:65536\n"
    assert not found.kept


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        (Accounts({"ldap": 231072}, {}), 296608),
        (Accounts({"ldap": 296607}, {}), 296608),
        (Accounts({}, {"grp": 250000}), 296608),
        (Accounts({"ldap": 296608}, {}), 231072),
    ],
)
def test_accounts_take_ids(accounts: Accounts, expected: int) -> None:
    assert find_free_start(231072, 65536, [parse_subid(SUBUID, "")], accounts) == expected


@pytest.mark.parametrize(
    ("start", "count", "expected"),
    [
        (1_000_000, 65536, 1_000_000),  # in nspawn's ranges, but asked for
        (500_000, 65536, 500_000),
        (500, 65536, 66036),  # among the accounts: the grid of the desired start, past them
        (231072, 1 << 31, 231072),
        (231072, 400_000, 231072),
    ],
)
def test_unusual_requests(start: int, count: int, expected: int | None) -> None:
    assert find_free_start(start, count, [parse_subid(SUBUID, "")], ACCOUNTS) == expected


def test_login_defs_sets_first_subordinate_id() -> None:
    full = parse_subid(SUBUID, blocks(231072, 296608, 362144, 427680))
    assert find_free_start(231072, 65536, [full], Accounts(lowest=165536)) == 165536


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("dockremap:231072:65536\n", ""),
        ("# c\ndockremap:300000:65536\n", "keeps its range 300000:65536"),
        ("105:300000:65536\n", "keeps its range 300000:65536"),
        ("dockremap:300000:131072\n", "keeps its range"),
        ("dockremap:300000:65536\ndockremap:400000:65536\n", "2 ranges"),
        ("dockremap:300000:65536\n105:400000:65536\n", "engines before 28"),
        ("dockremap:600000:65536\n", "systemd-nspawn"),
    ],
)
def test_existing_range_is_kept(text: str, note: str) -> None:
    accounts = Accounts({**UIDS, "dockremap": 105}, GIDS)
    found = allocate_range(RangeRequest("dockremap"), parse_subid(SUBUID, text), parse_subid(SUBGID, text), accounts)
    assert found.errors == []
    assert found.kept
    assert (found.subuid.text(), found.subgid.text()) == (text, text)
    add_notes(found, RangeRequest("dockremap"), 105)
    assert any(note in message for message in found.notes) if note else found.notes == []


@pytest.mark.parametrize(
    ("subuid", "subgid", "after", "note"),
    [
        ("dockremap:300000:65536\n", "", "dockremap:300000:65536\n", "keeps"),
        ("dockremap:300000:65536\n", "x:310000:5\n", "x:310000:5\ndockremap:365536:65536\n", "differ"),
        (
            "dockremap:300000:65536\ndockremap:500000:10\n",
            "",
            "dockremap:300000:65536\ndockremap:500000:10\n",
            "2 ranges",
        ),
    ],
)
def test_range_in_one_file_only(subuid: str, subgid: str, after: str, note: str) -> None:
    found = allocate_range(RangeRequest("dockremap"), parse_subid(SUBUID, subuid), parse_subid(SUBGID, subgid), ACCOUNTS)
    assert found.errors == []
    assert found.subuid.text() == subuid
    assert found.subgid.text() == after
    if note != "keeps":
        add_notes(found, RangeRequest("dockremap"), None)
        assert any(note in message for message in found.notes)


@pytest.mark.parametrize(
    ("subuid", "subgid", "message"),
    [
        (
            "alice:100000:65536\ndockremap:150000:65536\n",
            "",
            "/etc/subuid:1 (alice:100000:65536) overlaps /etc/subuid:2 (dockremap:150000:65536): "
            "containers of both users would own the IDs 150000 to 165535; give one of them another range",
        ),
        ("", "dockremap:100000:65536\n\nbob:165535:5\n", "/etc/subgid:1 (dockremap:100000:65536) overlaps /etc/subgid:3 (bob:165535:5)"),
        # what newuidmap accepts of another user, and the engine reads otherwise
        (
            "dockremap:231072:65536\nbob:0703240:5\n",
            "",
            "overlaps /etc/subuid:2 (bob:0703240:5): containers of both users would own the IDs 231072 to",
        ),
        ("dockremap:231072:65536\nbob:0x386A0:5:\n", "", "overlaps /etc/subuid:2"),
        ("bob:200000:99999999999\ndockremap:231072:65536\n", "", "/etc/subuid:1 (bob:200000:99999999999) overlaps"),
        ("dockremap:231072:65536\nbob:231072:65536\n", "", "overlaps /etc/subuid:2"),
        ("dockremap:abc:65536\n", "", "/etc/subuid:1 (dockremap:abc:65536) has the start 'abc'"),
        ("dockremap:231072\n", "", "has 2 fields"),
        ("dockremap:231072:0\n", "", "has the count 0"),
        ("dockremap:231072:65536\ndockremap:231072:65536\n", "", "the same IDs twice"),
        ("dockremap:0:65536\n", "", "contains the ID of the user root, alice, bob and 1 more"),
        ("dockremap:2000:100\n", "", "contains IDs below 65536"),
        ("", "dockremap:1000:1\n", "contains the ID of the group alice"),
    ],
)
def test_errors_change_nothing(subuid: str, subgid: str, message: str) -> None:
    found = allocate_range(RangeRequest("dockremap"), parse_subid(SUBUID, subuid), parse_subid(SUBGID, subgid), ACCOUNTS)
    assert any(message in error for error in found.errors), found.errors
    assert (found.subuid.text(), found.subgid.text()) == (subuid, subgid)


@pytest.mark.parametrize(
    ("start", "count", "message"),
    [
        (4294967295, 1, "last ID"),
        (231072, 0, "count 0"),
        (4294900000, 131072, "last ID"),
    ],
)
def test_bounds_of_a_request(start: int, count: int, message: str) -> None:
    found = allocate_range(RangeRequest("dockremap", start, count), parse_subid(SUBUID, ""), parse_subid(SUBGID, ""), ACCOUNTS)
    assert len(found.errors) == 1
    assert message in found.errors[0]


EXACT = RangeRequest("dockremap", 300000, 65536, exact=True, start_name="userns_remap_range_start")


def test_a_free_exact_range_is_allocated() -> None:
    found = allocate_range(EXACT, parse_subid(SUBUID, ""), parse_subid(SUBGID, ""), ACCOUNTS)
    assert found.subuid.text() == "dockremap:300000:65536\n"


@pytest.mark.parametrize(
    ("subuid", "managed", "message"),
    [
        ("bob:310000:5\n", {}, "/etc/subuid:1 (bob:310000:5) has IDs of it; write another userns_remap_range_start"),
        ("dockremap:231072:65536\n", {}, "was not written by Bulkhead"),
        ("dockremap:231072:65536\n", {SUBUID: [(231072, 65000)]}, "was not written by Bulkhead"),
    ],
)
def test_exact_errors(subuid: str, managed: dict[str, list[tuple[int, int]]], message: str) -> None:
    found = allocate_range(EXACT, parse_subid(SUBUID, subuid), parse_subid(SUBGID, ""), ACCOUNTS, managed)
    assert len(found.errors) == 1
    assert message in found.errors[0]


def test_exact_replaces_managed_lines() -> None:
    text = "x:1:2\ndockremap:231072:65536\ny:3:4\n"
    managed = {path: [(231072, 65536)] for path in (SUBUID, SUBGID)}
    found = allocate_range(EXACT, parse_subid(SUBUID, text), parse_subid(SUBGID, text), ACCOUNTS, managed)
    assert found.errors == []
    assert found.subuid.text() == found.subgid.text() == "x:1:2\ny:3:4\ndockremap:300000:65536\n"


def test_nothing_is_free() -> None:
    found = allocate_range(
        RangeRequest("dockremap", 231072, 1 << 30), parse_subid(SUBUID, "x:231072:1\n"), parse_subid(SUBGID, ""), ACCOUNTS
    )
    assert "no other range of 1073741824 IDs is free" in found.errors[0]


@pytest.mark.parametrize(
    "lines",
    [
        "lxd:100000:65536\nroot:100000:65536\n",  # LXD gives its range to root (lxd-pkg-ubuntu#19)
        "a:100000:65536\nb:165535:65536\n",
        "a:100000:65536\na:100000:65536\n",
        "words\n:1:2\na:b:c\n\r\n  \n+\n+::\n",
        "a:100000:65536 \nb:100000:65536\r\n",
    ],
)
def test_lines_outside_the_managed_range_are_kept(lines: str) -> None:
    text = lines + "dockremap:231072:65536\n"
    for request in (RangeRequest("dockremap"), RangeRequest("dockremap", newuidmap=True), RangeRequest("dockremap", exact=True)):
        kept = allocate_range(request, parse_subid(SUBUID, text), parse_subid(SUBGID, text), ACCOUNTS)
        assert (kept.errors, kept.kept) == ([], True)
        new = allocate_range(request, parse_subid(SUBUID, lines), parse_subid(SUBGID, lines), ACCOUNTS)
        assert (new.errors, new.subuid.text()) == ([], text)


@pytest.mark.parametrize(
    "line",
    [
        "bob:231072:65536 ",
        "bob:231072:65536\r",
        " bob:231072:65536",
        "bob:231072:65536:x",
        "bob:0703240:65536",
        "bob:0x386a0:0x10000",
        "bob:+231072:+65536",
        "bob:231072 :65536",
        "bob: 231072:65536",
        "bob:0231072:65536",
        "bob:1:4294967294",
        "bob:231072:99999999999",
        "bob:0b111000011010100000:65536",
        "#bob:231072:65536",
    ],
)
def test_what_any_program_reads_is_taken(line: str) -> None:
    file = parse_subid(SUBUID, line + "\n")
    starts = {first for first, unused in file.lines[0].taken}
    assert starts & {1, 231072} or line.startswith("bob:231072 :"), starts
    found = allocate_range(RangeRequest("dockremap"), file, parse_subid(SUBGID, ""), ACCOUNTS)
    for own in found.subuid.lines_of("dockremap", None):
        assert not file.lines[0].has_ids_of(own.start, own.count)
    if ":1:" in line:
        assert file.locate(file.lines[0]) in found.errors[0]
    elif not line.startswith("bob:231072 :"):
        assert found.subuid.lines_of("dockremap", None)[0].start == (100000 if "9999" in line else 296608)


def test_a_range_in_a_comment_is_free_for_an_exact_request() -> None:
    file = parse_subid(SUBUID, "# bob:231072:65536\n")
    exact = allocate_range(RangeRequest("dockremap", exact=True), file, parse_subid(SUBGID, ""), ACCOUNTS)
    assert exact.subuid.lines_of("dockremap", None)[0].start == 231072


@pytest.mark.parametrize(("line", "accepts"), [("{} ", False), ("{}\r", False), ("{}\t", False), (" {}", False), ("{}", True)])
def test_only_newuidmap_rejects_blanks_around_a_line(line: str, accepts: bool) -> None:
    """podman#21071; measured with newuidmap of trixie (4.17.4)."""
    text = line.format("alice:231072:65536") + "\n"
    files = parse_subid(SUBUID, text), parse_subid(SUBGID, text)
    assert allocate_range(RangeRequest("alice"), *files, ACCOUNTS).errors == []
    errors = allocate_range(RangeRequest("alice", newuidmap=True), *files, ACCOUNTS).errors
    assert bool(errors) is not accepts
    assert accepts or errors[0].startswith("/etc/subuid:1 (alice:231072:65536) has a blank or carriage return")
