# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the last change of the engine's configuration, to restore the files as they were before it."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.records import COMMITTED
from ..host.root import Host, sha256
from . import daemon_json, daemon_merge, keys
from .transaction import Transaction, list_ended


@dataclass(frozen=True)
class LastChange:
    """files: path → text before the change, None for a file that did not exist. merge: what restoring makes of daemon.json."""

    id: str
    files: dict[str, str | None]
    merge: daemon_merge.Merge


def find_last_change(host: Host, path: str, may_switch_root: bool) -> LastChange:
    """Return the newest change of daemon.json at `path` that is not reverted. may_switch_root: whether the engine may get another data root.

    Raises ValueError when there is none, or when one of its files was edited since.
    """
    transaction = _find_newest(host, path)
    files = transaction.read_copies()
    for name, digest in transaction.journal.get("after", {}).items():
        text = host.read(name)
        if (None if text is None else sha256(text)) != digest:
            raise ValueError(
                f"{name} was edited after change {transaction.id}, and reverting that change would lose the edit; correct {name} by hand, the"
                f" previous files are in {transaction.folder}"
            )
    old, new = (daemon_json.parse_daemon_json(text, path).content() for text in (files[path], host.read(path)))
    merge = daemon_merge.Merge(new, old, files[path], {}, [])
    if merge.switches_root and not may_switch_root:
        raise ValueError(
            f"change {transaction.id} gave the engine another data root ({', '.join(sorted(keys.ROOT_KEYS.intersection(merge.changed)))}), and"
            " reverting it hides the engine's present data; set userns_remap_existing_data: hide to revert it anyway"
        )
    return LastChange(transaction.id, files, merge)


def _find_newest(host: Host, path: str) -> Transaction:
    committed = [transaction for transaction in list_ended(host) if transaction.journal["state"] == COMMITTED]
    reverted = {transaction.journal["facts"].get("reverts") for transaction in committed}
    for transaction in committed:
        is_revert = bool(transaction.journal["facts"].get("reverts"))
        if is_revert or transaction.id in reverted:
            continue
        if any(entry["path"] == path for entry in transaction.journal["files"]):
            return transaction
    raise ValueError(f"there is no change of {path} to revert in /var/lib/bulkhead/transactions, which keeps the last five")
