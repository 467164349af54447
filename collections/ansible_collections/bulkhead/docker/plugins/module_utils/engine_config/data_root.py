# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a transaction that carries what the engine holds to another root, and puts it aside when the change is undone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..engine import containers, flags, unit
from ..engine.api import Engine
from ..engine.service import Service, ServiceError
from ..host.root import Host
from . import engine_restart
from .transaction import Transaction


class DataMigration(Protocol):
    """Carries what the engine holds to its root to come (migration/move.py). leave: containers that may not start there."""

    leave: frozenset[str]

    @property
    def root(self) -> str:
        """That root."""

    def prepare(self, info: dict[str, Any], orphans: Iterable[str] = ()) -> None:
        """Refuse what can't be carried, with the engine running. Raises OSError, ValueError; nothing is begun then."""

    def carry(self) -> None:
        """Carry it, with the engine stopped. Raises OSError, ValueError; nothing is left of it then."""


def has_stale_root(host: Host, root: str, after: Mapping[str, Any]) -> bool:
    """Whether the engine's root is not the one of its file, because somebody wrote userns-remap there and did not restart it."""
    if not root:
        return False  # it does not run
    remapped = bool(re.search(r"/\d+\.\d+$", root))
    return remapped != bool(after.get("userns-remap")) and "userns-remap" not in flags.parse_command_line(unit.read_unit(host).argv)


def find_writing_orphans(host: Host, engine: Engine) -> list[str]:
    """Containers of a plain root that run without the engine knowing it: nothing would stop them, and they write in what is copied."""
    return _unknown(host, {container["Id"] for container in engine.get("/containers/json", all="1")})


def _unknown(host: Host, known: set[str]) -> list[str]:
    return [o["id"] for o in containers.find_orphans(host, known) if any(row[1] == 0 for row in o["uid_map"])]


def migrate_data(move: DataMigration, engine: Engine, transaction: Transaction, before: engine_restart.EngineSnapshot, timeout: float) -> None:
    """Stop everything and carry it over. The configuration is written after this, so that whatever cuts it short leaves the old root in use."""
    transaction.record_step("move")
    if before.live_restore:  # its containers would outlive the engine, and write on in the old root
        engine_restart.stop_containers(engine, before.containers)
    Service().stop_with_socket(timeout)
    left = _unknown(transaction.host, set())
    if left:  # an engine that is killed in its shutdown, as systemd does after TimeoutStopSec, leaves its containers running
        raise ServiceError(f"the engine was stopped, and {', '.join(i[:12] for i in left)} run on; nothing is copied while they may write")
    move.carry()


def is_migrated_root_in_use(transaction: Transaction, engine: Engine) -> bool:
    """Whether an engine works with the root that was carried: what its containers wrote there since must not be left behind."""
    root = transaction.journal["facts"].get("moves_to")
    return bool(root) and Service().read_state().running and engine_restart.take_snapshot(engine).root == root


def finish_migration(transaction: Transaction, engine: Engine, timeout: float) -> list[str]:
    """Bring a change to its end whose engine has taken up the root. Returns the names of the containers that had to be started."""
    back = engine_restart.restart_containers(engine, transaction.journal["facts"].get("containers", []), timeout)
    transaction.commit()
    return back.started


def set_migrated_root_aside(transaction: Transaction, timeout: float) -> list[str]:
    """A carried root that an engine has tried is kept: nobody can tell whether its containers wrote anything that the old root has not.

    Returns what to say of it.
    """
    root = transaction.journal["facts"].get("moves_to")
    path = transaction.host.path(root) if root else None
    if path is None or not transaction.has_step("restart") or not path.is_dir():
        return []
    Service().stop_with_socket(timeout)
    aside = path.with_name(f".{path.name}.undone-{transaction.id}")
    path.rename(aside)
    return [f"what was carried over, and has been tried, is in {aside}; remove it when nothing in it is needed"]
