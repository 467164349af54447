# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a change of the engine's configuration back: of this run, or of one that died."""

from __future__ import annotations

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.instance import Instance, find_instance
from ..engine.service import Service, ServiceError
from ..host.root import STATE_DIR, Host
from ..host.system import read_start_time
from . import data_root, engine_restart, swap_limits
from .request import ConfigFailed, ConfigOutcome, ConfigRequest
from .transaction import Transaction, list_open

# Undoing is the last line of defence: where a step of it is slow, there is nothing better to do than to wait.
_PATIENCE = 3
# What ended so many seconds after a run's last word, and after the engine's start, was ended neither by that run nor by a power cut.
_SINCE = 3600


def recover_interrupted(host: Host, engine: Engine, request: ConfigRequest, outcome: ConfigOutcome) -> None:
    """Undo, or finish, what a run that died has left open, so that this one starts from a state that somebody desired."""
    for transaction in list_open(host):
        try:
            user = transaction.journal["facts"].get("user", "")
            instance = request.instance if user == request.instance.user else find_instance(host, user)
            # What another engine's run has left is in the way as well: one change at a time on a host.
            theirs = engine if instance == request.instance else Engine.for_instance(instance, request.timeout)
            transaction = Transaction(instance.scope_host(host), transaction.folder, transaction.journal)
            if data_root.is_migrated_root_in_use(transaction, theirs):
                outcome.containers_restarted = data_root.finish_migration(transaction, theirs, request.timeout)
            elif _taken_over(transaction, Service(instance)):
                outcome.warnings.append(
                    f"a run died in the middle of a change ({transaction.id}); {', '.join(transaction.list_edited())} has been edited since, and the"
                    f" engine was started with it, so all is left as it is; what stood there before that run is in {transaction.folder}"
                )
                transaction.mark_left()
                continue
            else:
                _let_be(transaction, theirs, Service(instance), outcome)
                undo_change(transaction, theirs, instance, request.timeout, outcome)
        except (OSError, EngineError, ServiceError) as error:
            raise ConfigFailed(
                f"what a run that died had begun ({transaction.id}) could not be undone: {error}; the next run tries again", outcome
            ) from error
        outcome.recovered.append(transaction.id)
        outcome.changed = True


def _taken_over(transaction: Transaction, service: Service) -> bool:
    """Whether somebody has edited what a run that died left, and the engine was started with that: it is then what somebody desired, and works."""
    edited = transaction.list_edited()
    began = _began(transaction, service) if edited else None
    # The kernel's start time of a process has a resolution of 10 ms, and the boot time one of a second.
    return began is not None and all(transaction.host.path(path).stat().st_mtime + 1 < began for path in edited)


def _began(transaction: Transaction, service: Service) -> float | None:
    """When the engine that runs was started; None when none does."""
    condition = service.read_state()
    return read_start_time(transaction.host, condition.pid) if condition.running else None


def _let_be(transaction: Transaction, engine: Engine, service: Service, outcome: ConfigOutcome) -> None:
    """Take from what has to run again the containers that ended long after the run had died, under an engine that was up: somebody stopped them."""
    facts, began = transaction.journal["facts"], _began(transaction, service)
    if began is None or not facts.get("containers"):
        return
    moment = max(began, (transaction.folder / "journal.json").stat().st_mtime) + _SINCE
    stopped = engine_restart.list_ended_after(engine, facts["containers"], moment)
    facts["containers"] = [container for container in facts["containers"] if container not in stopped]
    if stopped:
        names = ", ".join(container["name"] for container in stopped)
        outcome.warnings.append(f"not started again, as they ended long after the run that died ({transaction.id}): {names}")


def undo_failed_change(host: Host, transaction: Transaction, engine: Engine, request: ConfigRequest, error: Exception, moment: float, outcome: ConfigOutcome) -> None:
    """The change did not work: undo it, and raise Failed with the engine's own reason."""
    anew = transaction.has_step("restart") or transaction.has_step("start")
    tried = anew or transaction.has_step("reload")
    outcome.engine_message = (Service(request.instance).find_failure(moment) or None) if anew else None
    reason = outcome.engine_message or str(error)
    failed = f"the engine did not come up with the new configuration: {reason}"
    if not anew:
        failed = reason if tried else f"the files could not be changed: {reason}"
    outcome.started = outcome.restarted = outcome.reloaded = False
    try:
        undo_change(transaction, engine, request.instance, request.timeout, outcome)
    except (OSError, EngineError, ServiceError) as second:
        raise ConfigFailed(
            f"{failed}; and the previous state could not be brought back: {second}; the files as they were are in"
            f" {STATE_DIR}/transactions/{transaction.id}, and the next run tries again",
            outcome,
        ) from error
    outcome.changed, outcome.rolled_back = bool(outcome.recovered), True
    again = "the previous configuration is back" + (" and the engine runs with it" if transaction.journal["facts"].get("running") else "")
    raise ConfigFailed(f"{failed}; {again}", outcome) from error


def undo_change(transaction: Transaction, engine: Engine, instance: Instance, timeout: float, outcome: ConfigOutcome) -> None:
    """Bring back the files, the engine and its containers as the journal says they were. Raises when that fails; the journal stays open."""
    facts, timeout, service = transaction.journal["facts"], timeout * _PATIENCE, Service(instance)
    outcome.warnings += data_root.set_migrated_root_aside(transaction, timeout)
    outcome.warnings += [
        f"{path} was edited after the change that is undone here ({transaction.id}) had written it: what stood there before that change is back,"
        f" and the edited file is kept as {copy}; bring over what is needed of it"
        for path, copy in transaction.copy_edited().items()
    ]
    transaction.restore()
    if transaction.has_step("daemon-reload"):
        swap_limits.keep_zero_swap(transaction.host, service, timeout)
        service.reload_units(timeout)
    if facts.get("running"):
        # Only a restart takes back for sure what a reload had taken over (keys.RELOADABLE), or what a restart had been for.
        if transaction.has_step("restart") or transaction.has_step("reload") or not service.read_state().running:
            service.restart(timeout)
            if not engine_restart.wait_for_engine(engine, timeout):
                raise EngineUnreachable(f"the engine does not answer on {engine.socket} with its previous configuration")
        back = engine_restart.restart_containers(engine, facts.get("containers", []), timeout)
        outcome.containers_restarted = back.started
        if back.failed or back.gone:
            lost = ", ".join([*back.failed, *back.gone])
            outcome.warnings.append(f"these containers ran before and do not run again: {lost}; look at docker ps --all and docker logs")
    elif transaction.has_step("start"):
        service.stop(timeout)
    transaction.mark_undone()
