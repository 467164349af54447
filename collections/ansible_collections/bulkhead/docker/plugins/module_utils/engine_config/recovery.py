# SPDX-License-Identifier: GPL-3.0-or-later
"""Undoes a change of the engine's configuration: a failed one of this run, or an interrupted one of an earlier run."""

from __future__ import annotations

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.instance import Instance, find_instance
from ..engine.service import EngineService
from ..engine.systemctl import ServiceError
from ..host.root import STATE_DIR, Host
from ..host.system import read_start_time
from . import data_root, engine_restart, swap_limits
from .comparison import ContainersWorse
from .request import ConfigFailed, ConfigOutcome, ConfigRequest
from .transaction import Transaction, list_open

# How many times the request's timeout a step of undoing may take: there is no alternative to waiting for a slow one.
_TIMEOUT_FACTOR = 3
# Seconds. A container that ended so long after the interrupted run and the engine's start was stopped by an operator.
_OTHERS_STOP = 3600


def recover_interrupted(host: Host, engine: Engine, request: ConfigRequest, outcome: ConfigOutcome) -> None:
    """Undo or finish the changes of interrupted runs, of all engines of the host. Raises ConfigFailed."""
    for transaction in list_open(host):
        try:
            user = transaction.journal["facts"].get("user", "")
            instance = request.instance if user == request.instance.user else find_instance(host, user)
            owner = engine if instance == request.instance else Engine.for_instance(instance, request.timeout)
            transaction = Transaction(instance.scope_host(host), transaction.folder, transaction.journal)
            recovered = _recover(transaction, owner, instance, request.timeout, outcome)
        except (OSError, EngineError, ServiceError) as error:
            raise ConfigFailed(
                f"the interrupted change {transaction.id} could not be undone: {error}; the next run tries again", outcome
            ) from error
        if recovered:
            outcome.recovered.append(transaction.id)
            outcome.changed = True


def _recover(transaction: Transaction, engine: Engine, instance: Instance, timeout: float, outcome: ConfigOutcome) -> bool:
    """Finish, leave or undo one interrupted change. Returns whether anything was changed."""
    service = EngineService(instance)
    if data_root.is_migrated_root_in_use(transaction, engine):
        outcome.containers_restarted = data_root.finish_migration(transaction, engine, timeout)
        return True
    if _is_taken_over(transaction, service):
        outcome.warnings.append(
            f"an earlier run was interrupted during a change ({transaction.id}); {', '.join(transaction.list_edited())} has been edited since,"
            f" and the engine was started with it, so nothing is undone; the previous files are in {transaction.folder}"
        )
        transaction.mark_left()
        return False
    _exclude_stopped_by_others(transaction, engine, service, outcome)
    undo_change(transaction, engine, instance, timeout, outcome)
    return True


def _is_taken_over(transaction: Transaction, service: EngineService) -> bool:
    """Return whether the files were edited after the interruption and the engine was started with them, so that they work."""
    edited = transaction.list_edited()
    started = _read_engine_start(transaction, service) if edited else None
    # The kernel's start time of a process has a resolution of 10 ms, and the boot time one of a second.
    return started is not None and all(transaction.host.path(path).stat().st_mtime + 1 < started for path in edited)


def _read_engine_start(transaction: Transaction, service: EngineService) -> float | None:
    """Return when the running engine was started; None when it is stopped."""
    service_state = service.read_state()
    return read_start_time(transaction.host, service_state.pid) if service_state.running else None


def _exclude_stopped_by_others(transaction: Transaction, engine: Engine, service: EngineService, outcome: ConfigOutcome) -> None:
    """Remove from the containers to start again those that ended long after the interruption, while the engine ran."""
    facts, started = transaction.journal["facts"], _read_engine_start(transaction, service)
    if started is None or not facts.get("containers"):
        return
    moment = max(started, (transaction.folder / "journal.json").stat().st_mtime) + _OTHERS_STOP
    stopped = engine_restart.list_ended_after(engine, facts["containers"], moment)
    facts["containers"] = [container for container in facts["containers"] if container not in stopped]
    if stopped:
        names = ", ".join(container["name"] for container in stopped)
        outcome.warnings.append(f"not started again, because they ended long after the interrupted run ({transaction.id}): {names}")


def undo_failed_change(
    transaction: Transaction, engine: Engine, request: ConfigRequest, error: Exception, moment: float, outcome: ConfigOutcome
) -> None:
    """Undo this run's change, and raise ConfigFailed with the engine's own message. moment: when the change began."""
    started = transaction.has_step("restart") or transaction.has_step("start")
    worse = isinstance(error, ContainersWorse)
    outcome.engine_message = (EngineService(request.instance).find_failure(moment) or None) if started and not worse else None
    reason = outcome.engine_message or str(error)
    if worse:
        failure = reason
    elif started:
        failure = f"the engine did not start with the new configuration: {reason}"
    else:
        failure = reason if transaction.has_step("reload") else f"the files could not be changed: {reason}"
    outcome.started = outcome.restarted = outcome.reloaded = False
    try:
        undo_change(transaction, engine, request.instance, request.timeout, outcome)
    except (OSError, EngineError, ServiceError) as second:
        raise ConfigFailed(
            f"{failure}; and the previous state could not be restored: {second}; the previous files are in"
            f" {STATE_DIR}/transactions/{transaction.id}, and the next run tries again",
            outcome,
        ) from error
    outcome.changed, outcome.rolled_back = bool(outcome.recovered), True
    runs = " and the engine runs with it" if transaction.journal["facts"].get("running") else ""
    raise ConfigFailed(f"{failure}; the previous configuration is restored{runs}", outcome) from error


def undo_change(transaction: Transaction, engine: Engine, instance: Instance, timeout: float, outcome: ConfigOutcome) -> None:
    """Restore the files, the engine and its containers as the journal describes them. Raises an error and leaves the journal open."""
    facts, timeout, service = transaction.journal["facts"], timeout * _TIMEOUT_FACTOR, EngineService(instance)
    outcome.warnings += data_root.set_migrated_root_aside(transaction, timeout)
    outcome.warnings += [
        f"{path} was edited after change {transaction.id}, which is undone: the previous file is restored, and the edited file is kept as {copy};"
        " copy what is needed from it"
        for path, copy in transaction.copy_edited().items()
    ]
    transaction.restore()
    if transaction.has_step("daemon-reload"):
        swap_limits.keep_zero_swap(transaction.host, service, timeout)
        service.reload_units(timeout)
    if facts.get("running"):
        # Only a restart reliably undoes a reload (keys.RELOADABLE) or a restart.
        if transaction.has_step("restart") or transaction.has_step("reload") or not service.read_state().running:
            service.restart(timeout)
            if not engine_restart.wait_for_engine(engine, timeout):
                raise EngineUnreachable(f"the engine does not answer on {engine.socket} with its previous configuration")
        result = engine_restart.restart_containers(engine, facts.get("containers", []), timeout)
        outcome.containers_restarted = result.started
        if result.failed or result.gone:
            names = ", ".join([*(f"{name} ({reason})" for name, reason in result.failed.items()), *result.gone])
            outcome.warnings.append(f"these containers ran before and do not run again: {names}; see docker ps --all and docker logs")
    elif transaction.has_step("start"):
        service.stop(timeout)
    transaction.mark_undone()
