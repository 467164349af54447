# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of directory services: which sources are asked, and what is known if one does not answer."""

from __future__ import annotations

import os
from bisect import bisect_left
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import accounts as directory
from ansible_collections.bulkhead.docker.plugins.module_utils.host.accounts import list_sources, read_directory, select_accounts
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.allocate import (
    Accounts,
    RangeRequest,
    add_directory,
    allocate_range,
    list_accounts_inside,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.ranges import SUBGID, SUBUID, SubidFile

DEBIAN = """\
# /etc/nsswitch.conf
passwd:         files systemd sss
group:          files [SUCCESS=merge] systemd sss # comment
shadow:         files sss
subid:          sss
"""


def make_host(root: Path, config: str | None = DEBIAN, socket: bool = True) -> Host:
    for folder in ("etc", "var/lib/sss/pipes"):
        (root / folder).mkdir(parents=True)
    if config is not None:
        (root / "etc/nsswitch.conf").write_text(config)
    if socket:
        (root / "var/lib/sss/pipes/nss").touch()
    return Host(root)


@pytest.mark.parametrize(
    ("config", "database", "sources"),
    [
        (DEBIAN, "passwd", ["files", "systemd", "sss"]),
        (DEBIAN, "group", ["files", "systemd", "sss"]),
        (DEBIAN, "subid", ["sss"]),
        (DEBIAN, "hosts", []),
        ("passwd: files[!UNAVAIL=return]ldap", "passwd", ["files", "ldap"]),
        ("SUBID:\tsss files", "subid", ["sss", "files"]),
        ("subid:\nsubid: sss", "subid", ["sss"]),
        ("# passwd: sss", "passwd", []),
        ("", "passwd", []),
        (None, "passwd", []),
    ],
)
def test_sources(config: str | None, database: str, sources: list[str]) -> None:
    assert list_sources(config, database) == sources


def test_accounts_of_a_directory(tmp_path: Path) -> None:
    asked = []

    def list_entries(source: str, database: str, seconds: float) -> str:
        asked.append((source, database))
        assert 0 < seconds <= 5
        return "ann:*:231080:231080::/home/ann:/bin/sh\n" if database == "passwd" else "staff:*:231999:ann\n"

    found = read_directory(make_host(tmp_path), list_entries)
    assert (found.uids, found.gids, found.unchecked) == ({"ann": 231080}, {"staff": 231999}, ())
    assert asked == [("sss", "passwd"), ("sss", "group")], "systemd only names IDs in use"


@pytest.mark.parametrize(
    ("config", "socket"),
    [
        ("passwd: files systemd mymachines\ngroup: files systemd\n", True),
        ("passwd: compat\ngroup: compat\n", True),
        (DEBIAN, False),  # the library is installed and sssd is not set up
        (None, True),
    ],
)
def test_no_directory_is_asked(tmp_path: Path, config: str | None, socket: bool) -> None:
    def fail(*_: object) -> str:
        raise AssertionError

    assert read_directory(make_host(tmp_path, config, socket), fail) == directory.Directory()


def test_directory_that_lists_nothing_is_not_checked(tmp_path: Path) -> None:
    """The default of sssd is `enumerate = false` (man 5 sssd.conf)."""
    found = read_directory(make_host(tmp_path), lambda *_: "")
    assert found.unchecked == tuple(f"sss for {name}: it lists no account, and it may have some" for name in ("passwd", "group"))


def test_directory_that_fails_is_not_checked(tmp_path: Path) -> None:
    def fail(source: str, database: str, seconds: float) -> str:
        if database == "passwd":
            raise OSError("getent has not answered within 5 s")
        return "staff:*:231999:ann\n"

    found = read_directory(make_host(tmp_path), fail)
    assert (found.unchecked, found.gids) == (("sss for passwd: getent has not answered within 5 s",), {"staff": 231999})


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exec sleep 60", "has not answered within"),
        ("exit 3", "exit code 3"),
        ("exit 2", ""),
        ("echo ann:x:231080:100::/:/bin/sh", ""),
        ("yes 2>/dev/null | head -c 2000000; echo; echo ann:x:231080:1::/:", ""),
    ],
)
def test_getent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str) -> None:
    program = tmp_path / "getent"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-s sss passwd" ] || exit 9\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if message:
        with pytest.raises(OSError, match=message):
            directory.run_getent("sss", "passwd", 0.3)
    else:
        assert script == "exit 2" or "ann:x:231080" in directory.run_getent("sss", "passwd", 10)


def test_without_getent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError):
        directory.run_getent("sss", "passwd", 1)


def test_more_accounts_than_the_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "getent"
    program.write_text("#!/bin/sh\nyes | head -c 5000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(directory, "_LIMIT", 4096)
    with pytest.raises(OSError, match="lists more than"):
        directory.run_getent("sss", "passwd", 10)


@pytest.mark.parametrize("step", [13, 1000, 70_001])
def test_selected_accounts_take_the_same_ranges(step: int) -> None:
    """Any range of 65536 IDs or more has a selected account exactly if it has one."""
    ids = {f"u{number}": number for number in range(200_000, 600_000, step)}
    ordered = sorted(ids.values())
    kept = select_accounts(ids, [])
    assert len(kept) <= 2 * 8
    for start in range(65536, 800_000, 997):
        for count in (65536, 100_000):
            has_account = bisect_left(ordered, start) < bisect_left(ordered, start + count)
            assert bool(list_accounts_inside(start, count, kept)) == has_account, (start, count)


def test_accounts_in_present_ranges_are_kept() -> None:
    ids = {f"u{number}": number for number in range(231072, 296608)} | {"low": 1500}
    kept = select_accounts(ids, [(231100, 10), (1000, 1000)])
    assert {"u231100", "u231109", "low"} <= kept.keys()
    assert len(kept) < 20


def test_new_range_avoids_accounts_of_a_directory() -> None:
    accounts = add_directory(Accounts({"root": 0}, {"root": 0}), {"ann": 250_000, "root": 7}, {"staff": 300_000})
    assert accounts.uids["root"] == 0, "the file's entry counts"
    found = allocate_range(RangeRequest("dockremap"), SubidFile(SUBUID), SubidFile(SUBGID), accounts)
    assert [line.start for line in found.subuid.ranges] == [231072 + 2 * 65536]
