# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of directory services (man 5 nsswitch.conf). Each source is asked alone, so that users that systemd invents do not count."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..host.root import Host
from .accounts import parse_ids

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
