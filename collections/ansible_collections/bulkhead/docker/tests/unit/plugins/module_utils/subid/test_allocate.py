# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.allocate import (
    Accounts,
    RangeRequest,
    allocate_range,
    find_free_start,
)
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
        # all above taken up to nspawn's ranges: below the wish, on the same grid
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
        (500, 65536, 66036),  # among the accounts: the wish's own grid, past them
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
    assert any(note in sentence for sentence in found.notes) if note else found.notes == []


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
        assert any(note in sentence for sentence in found.notes)


@pytest.mark.parametrize(
    ("subuid", "subgid", "sentence"),
    [
        (
            "alice:100000:65536\nbob:150000:65536\n",
            "",
            "/etc/subuid:1 (alice:100000:65536) overlaps /etc/subuid:2 (bob:150000:65536): "
            "containers of both users would own the IDs 150000 to 165535; give one of them another range",
        ),
        ("", "alice:1:5\n\nbob:5:5\n", "/etc/subgid:1 (alice:1:5) overlaps /etc/subgid:3 (bob:5:5)"),
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
def test_errors_change_nothing(subuid: str, subgid: str, sentence: str) -> None:
    found = allocate_range(RangeRequest("dockremap"), parse_subid(SUBUID, subuid), parse_subid(SUBGID, subgid), ACCOUNTS)
    assert any(sentence in error for error in found.errors), found.errors
    assert (found.subuid.text(), found.subgid.text()) == (subuid, subgid)


@pytest.mark.parametrize(
    ("start", "count", "sentence"),
    [
        (4294967295, 1, "last ID"),
        (231072, 0, "count 0"),
        (4294900000, 131072, "last ID"),
    ],
)
def test_bounds_of_a_request(start: int, count: int, sentence: str) -> None:
    found = allocate_range(RangeRequest("dockremap", start, count), parse_subid(SUBUID, ""), parse_subid(SUBGID, ""), ACCOUNTS)
    assert len(found.errors) == 1
    assert sentence in found.errors[0]


EXACT = RangeRequest("dockremap", 300000, 65536, exact=True, start_name="userns_remap_range_start")


def test_exact_and_free() -> None:
    found = allocate_range(EXACT, parse_subid(SUBUID, ""), parse_subid(SUBGID, ""), ACCOUNTS)
    assert found.subuid.text() == "dockremap:300000:65536\n"


@pytest.mark.parametrize(
    ("subuid", "ours", "sentence"),
    [
        ("bob:310000:5\n", {}, "/etc/subuid:1 (bob:310000:5) has IDs of it; write another userns_remap_range_start"),
        ("dockremap:231072:65536\n", {}, "was not written by Bulkhead"),
        ("dockremap:231072:65536\n", {SUBUID: [(231072, 65000)]}, "was not written by Bulkhead"),
    ],
)
def test_exact_errors(subuid: str, ours: dict[str, list[tuple[int, int]]], sentence: str) -> None:
    found = allocate_range(EXACT, parse_subid(SUBUID, subuid), parse_subid(SUBGID, ""), ACCOUNTS, ours)
    assert len(found.errors) == 1
    assert sentence in found.errors[0]


def test_exact_replaces_managed_lines() -> None:
    text = "x:1:2\ndockremap:231072:65536\ny:3:4\n"
    ours = {path: [(231072, 65536)] for path in (SUBUID, SUBGID)}
    found = allocate_range(EXACT, parse_subid(SUBUID, text), parse_subid(SUBGID, text), ACCOUNTS, ours)
    assert found.errors == []
    assert found.subuid.text() == found.subgid.text() == "x:1:2\ny:3:4\ndockremap:300000:65536\n"


def test_nothing_is_free() -> None:
    found = allocate_range(
        RangeRequest("dockremap", 231072, 1 << 30), parse_subid(SUBUID, "x:231072:1\n"), parse_subid(SUBGID, ""), ACCOUNTS
    )
    assert "no other range of 1073741824 IDs is free" in found.errors[0]
