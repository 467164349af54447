# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups of the host: those in the files, single ones of name services, and those that directory services list (man 5 nsswitch.conf).

Each directory service is asked alone, so that users that systemd invents do not count.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .root import Host

SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"
PASSWD, GROUP, LOGIN_DEFS = "/etc/passwd", "/etc/group", "/etc/login.defs"
DEFAULT_LOWEST = 100000  # login.defs: SUB_UID_MIN
CONFIG = "/etc/nsswitch.conf"
# `systemd` and `mymachines` only name IDs that are in use at the moment.
_LOCAL = frozenset({"files", "compat", "systemd", "mymachines"})
# The socket of a source's daemon, without which it has no accounts.
_SOCKETS = {"sss": "/var/lib/sss/pipes/nss", "winbind": "/run/samba/winbindd/pipe"}
_SECONDS = 5.0
_LIMIT = 64 << 20
_BLOCK = 65536
_SHOWN = 50

ListEntries = Callable[[str, str, float], str]


@dataclass(frozen=True)
class Directory:
    """Accounts: name -> ID. unchecked: which source did not list them, and why."""

    uids: Mapping[str, int] = field(default_factory=dict)
    gids: Mapping[str, int] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()


def parse_ids(text: str) -> dict[str, int]:
    """Return name -> ID of a passwd or group file. For a repeated name, the first line counts, as for getpwnam(3)."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[0] and fields[2].isascii() and fields[2].isdigit():
            found.setdefault(fields[0], int(fields[2]))
    return found


def parse_lowest(login_defs: str) -> int:
    """Return the first subordinate ID for users and groups (man 5 login.defs)."""
    return max(map(int, re.findall(r"(?m)^\s*SUB_[UG]ID_MIN\s+([0-9]+)(?!\S)", login_defs)), default=DEFAULT_LOWEST)


def parse_id(text: str) -> int | None:
    """Return the ID that a part of `userns-remap` is (moby daemon/daemon_unix.go: ParseInt); None for a name."""
    return int(text) if re.fullmatch(r"\+?0*[0-9]{1,10}", text) and int(text) < 1 << 31 else None


def find_account(name: str, group: bool = False) -> list[Any]:
    """Return name, ID and a user's primary group; empty if unknown."""
    import grp
    import pwd

    number = parse_id(name)
    with suppress(KeyError, ValueError):
        if group:
            return list((grp.getgrnam(name) if number is None else grp.getgrgid(number))[:3:2])
        return [(user := pwd.getpwnam(name) if number is None else pwd.getpwuid(number)).pw_name, user.pw_uid, user.pw_gid]
    return []


def find_named(host: Host, setting: Any) -> dict[str, dict[str, list[Any]]]:
    """Return the accounts in a value of `userns-remap`, by what was asked: `users` has name, UID and GID, `groups` name and GID."""
    user, unused, group = str(setting or "").partition(":")
    user = "dockremap" if user == "default" else user
    if host.root != Host().root or not user:
        return {"users": {}, "groups": {}}
    row = find_account(user)
    return {"users": {user: row}, "groups": {name: find_account(name, True) for name in (group or user, *map(str, row[2:]))}}


def list_sources(config: str | None, database: str) -> list[str]:
    """Return the sources of a database, in order. config: text of nsswitch.conf."""
    for line in (config or "").splitlines():
        name, colon, rest = line.partition("#")[0].partition(":")
        if colon and name.strip().lower() == database and rest.strip():
            return re.sub(r"\[[^]]*\]", " ", rest).split()
    return []


def read_directory(host: Host, list_entries: ListEntries | None = None) -> Directory:
    """Return the accounts that directory services list within some seconds."""
    try:
        config = host.read(CONFIG)
    except OSError as error:
        return Directory(unchecked=(f"{CONFIG} cannot be read: {error}",))
    found: dict[str, dict[str, int]] = {"passwd": {}, "group": {}}
    unchecked, deadline = [], time.monotonic() + _SECONDS
    for database, accounts in found.items():
        for source in list_sources(config, database):
            if source in _LOCAL or (source in _SOCKETS and not host.path(_SOCKETS[source]).exists()):
                continue
            try:
                listed = parse_ids((list_entries or run_getent)(source, database, max(0.1, deadline - time.monotonic())))
            except OSError as error:
                unchecked.append(f"{source} for {database}: {error}")
                continue
            if not listed:
                unchecked.append(f"{source} for {database}: it lists no account, and it may have some")
            for name, number in listed.items():
                accounts.setdefault(name, number)
    return Directory(found["passwd"], found["group"], tuple(unchecked))


def run_getent(source: str, database: str, seconds: float) -> str:
    """Return the entries of one source. Raises OSError, also after the time limit."""
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                ["getent", "-s", source, database],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"getent has not answered within {_SECONDS:g} s") from error
        if done.returncode not in (0, 2):  # 2: no such key; 3: the source does not list its entries
            raise OSError(f"getent ended with exit code {done.returncode}")
        if output.tell() > _LIMIT:
            raise OSError(f"it lists more than {_LIMIT >> 20} MiB of accounts")
        output.seek(0)
        return output.read().decode("utf-8", "surrogateescape")


def select_accounts(ids: Mapping[str, int], ranges: Sequence[tuple[int, int]]) -> dict[str, int]:
    """Return some accounts in each of `ranges` (start, count), and the first and last of each block of 65536 IDs: enough for any range."""
    ordered = sorted(((number, name) for name, number in ids.items()))
    kept: dict[str, int] = {}
    for start, count in ranges:
        kept.update([(name, number) for number, name in ordered if start <= number < start + count][:_SHOWN])
    ends: dict[int, list[tuple[int, str]]] = {}
    for entry in ordered:
        ends.setdefault(entry[0] // _BLOCK, []).append(entry)
    for block in ends.values():
        kept.update((name, number) for number, name in (block[0], block[-1]))
    return kept
