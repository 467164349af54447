# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a running engine use its new configuration: by a reload or a restart, after which the same containers run as before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..engine.api import Engine, EngineUnreachable
from ..engine.service import EngineService
from . import engine_restart
from .data_root import DataMigration
from .request import ConfigOutcome, ConfigRequest
from .transaction import Transaction


@dataclass(frozen=True)
class Activation:
    """What a change asks of the engine.

    before: the engine before the change. restart: whether it has to be restarted. switches_root: whether it then uses another data root.
    migration: what copies its data there; None leaves them behind. live_restore: whether the new configuration sets it.
    conditions: of its containers before the change (`comparison.read_conditions`).
    """

    before: engine_restart.EngineSnapshot
    restart: bool
    switches_root: bool
    live_restore: bool
    migration: DataMigration | None = None
    conditions: Sequence[dict[str, Any]] = ()

    @property
    def loses_data(self) -> bool:
        """Whether the engine no longer sees its present data."""
        return self.switches_root and self.restart and self.migration is None

    @property
    def stops_containers(self) -> bool:
        """Whether running containers are stopped, because the engine would no longer manage them."""
        return self.switches_root and self.restart and bool(self.before.containers)


def activate(engine: Engine, request: ConfigRequest, transaction: Transaction, activation: Activation, outcome: ConfigOutcome) -> None:
    """Make the running engine use the new files. Raises an error when the engine or a container does not work afterwards."""
    if activation.restart:
        _prepare_containers(engine, EngineService(request.instance), transaction, activation)
        _restart(engine, request, transaction, outcome)
        _restart_containers(engine, request, activation, outcome)
    elif outcome.keys_changed:
        _reload(engine, request, transaction, outcome)


def wait_for_answer(engine: Engine, request: ConfigRequest, step: str) -> None:
    """Wait until the engine answers after `step`. Raises EngineUnreachable."""
    if not engine_restart.wait_for_engine(engine, request.timeout):
        raise EngineUnreachable(f"the engine does not answer on {engine.socket} within {request.timeout:.0f} s of its {step}")


def _prepare_containers(engine: Engine, service: EngineService, transaction: Transaction, activation: Activation) -> None:
    """Stop the containers that the restart leaves behind; otherwise switch on live-restore, so that they keep running."""
    before = activation.before
    if activation.migration:
        return  # they were stopped for it
    if activation.stops_containers:
        transaction.record_step("stop-containers")
        if before.live_restore:  # otherwise the engine stops them itself, and a restart policy `unless-stopped` still applies
            engine_restart.stop_containers(engine, before.containers)
    elif activation.live_restore and not before.live_restore and not before.swarm and before.containers:
        # A reload takes over live-restore, but not the keys that need the restart.
        transaction.record_step("reload")
        service.reload_engine()
        before.live_restore = engine_restart.wait_for_live_restore(engine, 10)


def _restart(engine: Engine, request: ConfigRequest, transaction: Transaction, outcome: ConfigOutcome) -> None:
    transaction.record_step("restart")
    started = time.monotonic()
    EngineService(request.instance).restart(request.timeout)
    wait_for_answer(engine, request, "restart")
    outcome.downtime, outcome.restarted = round(time.monotonic() - started, 2), True


def _restart_containers(engine: Engine, request: ConfigRequest, activation: Activation, outcome: ConfigOutcome) -> None:
    before, containers = activation.before, activation.before.containers
    root = engine.get("/info").get("DockerRootDir") if activation.migration else ""
    if activation.migration and root != activation.migration.root:
        raise EngineUnreachable(f"the engine uses {root} instead of {activation.migration.root}, to which its data was migrated")
    if activation.loses_data:  # another root may have some of them: a migrated one has the IDs of the plain one
        present = {container["Id"] for container in engine.get("/containers/json", all="1")}
        containers = [container for container in containers if container["id"] in present]
    kept_running = activation.live_restore and before.live_restore and not activation.stops_containers and not activation.migration
    result = engine_restart.restart_containers(engine, containers, request.timeout, kept_running)
    outcome.containers_restarted = result.started
    if result.gone:
        outcome.warnings.append(f"removed when they stopped, because they were started with --rm: {', '.join(result.gone)}")
    if result.failed:
        raise EngineUnreachable("; ".join(f"container {name} does not start again: {reason}" for name, reason in result.failed.items()))


def _reload(engine: Engine, request: ConfigRequest, transaction: Transaction, outcome: ConfigOutcome) -> None:
    transaction.record_step("reload")
    moment, service = time.time(), EngineService(request.instance)
    service.reload_engine()
    confirmed = engine_restart.wait_for_reload(
        engine, moment, min(30, request.timeout), lambda: service.find_reload_error(moment) is not None
    )
    error = None if confirmed else service.find_reload_error(moment)
    if error:
        raise EngineUnreachable(f"the engine rejects the new configuration: {error}")
    if not confirmed and not engine.is_up():
        raise EngineUnreachable("the engine does not answer after its reload")
    if not confirmed:
        outcome.warnings.append("the engine did not confirm the reload of its configuration")
    outcome.reloaded = True
