# SPDX-License-Identifier: GPL-3.0-or-later
"""Single accounts, asked of the host's name services."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import accounts
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.subid import apply
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.allocate import RangeRequest
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.decide import UserRequest


@pytest.mark.parametrize(
    ("text", "number"),
    [("1000", 1000), ("+7", 7), ("007", 7), ("", None), ("-1", None), ("1e3", None), ("2147483648", None), ("alice", None), ("٣", None)],
)
def test_ids_in_a_setting(text: str, number: int | None) -> None:
    assert accounts.parse_id(text) == number


def test_accounts_by_name_and_id() -> None:
    own = pwd.getpwuid(os.getuid())
    assert accounts.find_account(own.pw_name) == accounts.find_account(str(own.pw_uid)) == [own.pw_name, own.pw_uid, own.pw_gid]
    assert accounts.find_account("root", True) == accounts.find_account("0", True) == ["root", 0]
    assert accounts.find_account("no such user") == accounts.find_account("2147480000") == accounts.find_account("a\0b") == []


def test_accounts_of_a_setting() -> None:
    found = accounts.find_named(Host(), "root")
    assert found == {"users": {"root": ["root", 0, 0]}, "groups": {"root": ["root", 0], "0": ["root", 0]}}
    assert set(accounts.find_named(Host(), "default")["users"]) == {"dockremap"}
    assert accounts.find_named(Host(), "root:0")["groups"] == {"0": ["root", 0]}
    assert accounts.find_named(Host(), None) == {"users": {}, "groups": {}}
    assert accounts.find_named(Host(Path("/nowhere")), "root") == {"users": {}, "groups": {}}


def test_module_creates_no_user_that_a_directory_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """moby#20191."""
    (tmp_path / "etc").mkdir()
    directory = {"ann": ["ann", 240000000, 240000001], "staff": ["staff", 240000001]}
    monkeypatch.setattr(apply, "find_account", lambda name, group=False: directory.get(name, []))
    commands: list[Any] = []

    def run(command: list[str]) -> tuple[int, str, str]:
        commands.append(command)
        return 0, "", ""

    host = Host(tmp_path)
    monkeypatch.setattr(apply, "_find_directory_accounts", lambda unused, *asked: REAL(Host(), *asked))
    outcome = apply.apply_ranges(host, [UserRequest(RangeRequest("ann"), "staff", create=True)], "userns", False, run)
    assert commands == []
    assert outcome.ranges == [{"user": "ann", "uid": 240000000, "subuid": [[231072, 65536]], "subgid": [[231072, 65536]]}]


REAL = apply._find_directory_accounts
