# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a transaction that migrates the engine's data to another root, and sets that root aside when the change is undone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from ..engine.api import Engine
from ..engine.cgroups import find_orphans
from ..engine.service import EngineService
from ..engine.systemctl import ServiceError
from ..host.files import write_atomically
from ..host.root import Host
from . import engine_restart
from .transaction import Transaction

_STOPPED = re.compile(r'(?<=[{,]"HasBeenManuallyStopped":)true(?=[,}])')


class DataMigration(Protocol):
    """Copies the engine's data to its new root (migration/migrate.py). leave: names of containers that stay stopped there."""

    leave: frozenset[str]

    @property
    def root(self) -> str:
        """The path of the new root."""

    def prepare(self, info: dict[str, Any], orphans: Iterable[str] = ()) -> None:
        """Check what is to be copied, while the engine runs. Raises OSError or ValueError when something cannot be copied."""

    def migrate(self) -> None:
        """Copy, while the engine is stopped. Raises OSError or ValueError after removing the copy."""


def has_stale_root(flags: Mapping[str, str], root: str, after: Mapping[str, Any]) -> bool:
    """Return whether the next restart switches the data root, because userns-remap was set in the file after the engine's start.

    flags: of dockerd. root: the running engine's, empty when it is stopped. after: the new content of daemon.json.
    """
    if not root:
        return False
    remapped = bool(re.search(r"/\d+\.\d+$", root))
    return remapped != bool(after.get("userns-remap")) and "userns-remap" not in flags


def find_writing_orphans(host: Host, engine: Engine) -> list[str]:
    """Return the IDs of containers of a plain root that run unknown to the engine: nothing stops them from writing to what is copied."""
    return _find_unknown(host, engine, {container["Id"] for container in engine.get("/containers/json", all="1")})


def _find_unknown(host: Host, engine: Engine | None, known: set[str]) -> list[str]:
    return [o["id"] for o in find_orphans(host, engine, known) if any(row[1] == 0 for row in o["uid_map"])]


def migrate_data(
    migration: DataMigration, engine: Engine, transaction: Transaction, before: engine_restart.EngineSnapshot, timeout: float
) -> None:
    """Stop the engine and its containers, copy the data, and take the containers that stay stopped out of `before`.

    The configuration is written afterwards, so that an interruption leaves the previous root in use.
    """
    transaction.record_step("move")
    # An engine that stops leaves slow containers running (moby cmd/dockerd/daemon.go, shutdownDaemon), with live-restore all of them.
    stop_together(engine, before.containers)
    EngineService().stop_with_socket(timeout)
    running = _find_unknown(transaction.host, None, set())
    if running:  # systemd kills an engine after TimeoutStopSec, and its containers keep running
        names = ", ".join(identifier[:12] for identifier in running)
        raise ServiceError(f"the engine is stopped, but containers {names} still run; nothing is copied while they may write")
    forget_stops(transaction.host, before.root, (c["id"] for c in before.containers if c["name"] not in migration.leave))
    migration.migrate()
    before.containers = [container for container in before.containers if container["name"] not in migration.leave]


def stop_together(engine: Engine, containers: list[dict[str, Any]]) -> None:
    """Stop containers, several at once, each within its own StopTimeout. Raises EngineError, EngineUnreachable."""

    def stop(container: dict[str, Any]) -> None:
        own = Engine(engine.socket, engine.timeout)  # a connection per thread
        try:
            engine_restart.stop_container(own, container["id"])
        finally:
            own.close()

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(stop, reversed(containers)))


def forget_stops(host: Host, root: str, containers: Iterable[str]) -> None:
    """Take back what the stopped engine recorded of containers that were stopped through its API. Raises OSError.

    After a power cut now, the engine would otherwise not start containers with the policy `unless-stopped` (moby daemon/container.go).
    """
    for identifier in containers:
        file = f"{root}/containers/{identifier}/config.v2.json"
        text = host.read(file)
        if text and _STOPPED.search(text):
            write_atomically(host.path(file), _STOPPED.sub("false", text))


def is_migrated_root_in_use(transaction: Transaction, engine: Engine) -> bool:
    """Return whether an engine runs with the migrated root; its containers may have written there since."""
    root = transaction.journal["facts"].get("moves_to")
    return bool(root) and EngineService().read_state().running and engine_restart.take_snapshot(transaction.host, engine).root == root


def finish_migration(transaction: Transaction, engine: Engine, timeout: float) -> list[str]:
    """Complete an interrupted change whose engine runs with the migrated root. Returns the names of the containers that were started."""
    result = engine_restart.restart_containers(engine, transaction.journal["facts"].get("containers", []), timeout)
    transaction.commit()
    return result.started


def set_migrated_root_aside(transaction: Transaction, timeout: float) -> list[str]:
    """Rename a migrated root that an engine has used: its containers may have written data there that the previous root does not have.

    Returns a warning with the new path, or nothing.
    """
    root = transaction.journal["facts"].get("moves_to")
    path = transaction.host.path(root) if root else None
    if path is None or not transaction.has_step("restart") or not path.is_dir():
        return []
    EngineService().stop_with_socket(timeout)
    aside = path.with_name(f".{path.name}.undone-{transaction.id}")
    path.rename(aside)
    return [f"the migrated data, which the engine has used, is in {aside}; remove it when nothing in it is needed"]
