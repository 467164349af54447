# SPDX-License-Identifier: GPL-3.0-or-later
"""The last change of the engine's configuration, to be taken back to the bytes that stood there before it."""

from __future__ import annotations

from dataclasses import dataclass

from ..host.files import sha256
from ..host.root import Host
from . import daemon_json, keys
from .transaction import COMMITTED, Transaction, list_ended


@dataclass(frozen=True)
class LastChange:
    """files: path → text as it was before, None for a file that was not there. merge: what this makes of daemon.json."""

    id: str
    files: dict[str, str | None]
    merge: daemon_json.Merge


def find_last_change(host: Host, path: str, may_move: bool) -> LastChange:
    """The newest change of `path` that has not been taken back. may_move: whether the engine may get another root by this.

    Raises ValueError where there is none, or where its files have been changed since.
    """
    transaction = _newest(host, path)
    before = transaction.read_copies()
    for name, digest in transaction.journal.get("after", {}).items():
        now = host.read(name)
        if (None if now is None else sha256(now)) != digest:
            raise ValueError(
                f"{name} has been changed since the change {transaction.id}, and taking that back would lose it; put {name} in order by hand,"
                f" what stood there before is in {transaction.folder}"
            )
    old, new = daemon_json.parse_daemon_json(before[path], path).content(), daemon_json.parse_daemon_json(host.read(path), path).content()
    moves = sorted(keys.ROOT_KEYS & set(keys.list_changed_keys(new, old)))
    if moves and not may_move:
        raise ValueError(
            f"the change {transaction.id} gave the engine another root ({', '.join(moves)}), and taking it back hides what the engine has now;"
            " write userns_remap_existing_data: hide if that is meant"
        )
    return LastChange(transaction.id, before, daemon_json.Merge(new, old, before[path], {}, []))


def _newest(host: Host, path: str) -> Transaction:
    found = [t for t in list_ended(host) if t.journal["state"] == COMMITTED]
    reverts = {t.journal["facts"].get("reverts") for t in found}
    for transaction in found:
        ours = not transaction.journal["facts"].get("reverts") and transaction.id not in reverts
        if ours and any(entry["path"] == path for entry in transaction.journal["files"]):
            return transaction
    raise ValueError(
        f"there is no change of {path} to take back: nothing of the kind is in /var/lib/bulkhead/transactions (the last five are)"
    )
