# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the engine's configuration as one transaction: daemon.json, the drop-in of the default PIDs limit, and the record of both.

Merge, validate, copy, write, restart or reload; then check the engine and its containers. Commit, or restore everything and say why.
"""

from __future__ import annotations

import time

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.flags import parse_flags
from ..engine.service import EngineService, ServiceState
from ..engine.systemctl import ServiceError
from ..host import state
from ..host.root import Host
from ..host.system import read_start_time
from . import comparison, data_root, engine_restart, recovery, swap_limits
from .activation import Activation, activate, wait_for_answer
from .daemon_merge import Merge
from .desired_files import DesiredFiles, build_blocked_error, build_desired_files, raise_problem
from .request import ALWAYS, NEEDED, NEVER, ConfigFailed, ConfigOutcome, ConfigRequest
from .transaction import Transaction, list_open

__all__ = ["ALWAYS", "NEEDED", "NEVER", "ConfigFailed", "ConfigOutcome", "ConfigRequest", "change_config"]


def change_config(host: Host, engine: Engine, request: ConfigRequest) -> ConfigOutcome:
    """Change the configuration to what `request` asks for. Raises ConfigFailed; the host is then as it was before."""
    host, outcome = request.instance.scope_host(host), ConfigOutcome()
    misplaced = request.instance.explain_misplaced(request.file)
    if misplaced:
        raise build_blocked_error(misplaced, outcome)
    try:
        if request.check:
            _check(host, request, outcome)
            return outcome
        with state.lock_host(host):
            recovery.recover_interrupted(host, engine, request, outcome)
            if not request.recover:
                _apply(host, engine, request, build_desired_files(host, request, outcome), outcome)
    except (OSError, ValueError, EngineError, ServiceError) as error:
        raise ConfigFailed(str(error), outcome) from error
    return outcome


def _check(host: Host, request: ConfigRequest, outcome: ConfigOutcome) -> None:
    """Merge and validate, without a change."""
    if list_open(host):
        outcome.warnings.append("an earlier run was interrupted during a change; the next run outside check mode undoes it")
    desired = build_desired_files(host, request, outcome)
    if outcome.diff:
        raise_problem(host, request, desired.merge, outcome)


def _apply(host: Host, engine: Engine, request: ConfigRequest, desired: DesiredFiles, outcome: ConfigOutcome) -> None:
    """Write the files and make the engine use them, in one transaction."""
    instance, service = request.instance, EngineService(request.instance)
    service_state = service.read_state()
    if not service_state.loaded:
        raise build_blocked_error(f"systemd has no {instance.unit} on this host; install the engine first", outcome)
    restart = _needs_restart(host, request, desired.merge, service_state)
    start = request.start and not service_state.running
    if not outcome.diff and not restart and not start:
        if desired.files[instance.record_path] != host.read(instance.record_path):
            state.save(host, instance.subject, desired.record)
        return
    raise_problem(host, request, desired.merge, outcome)
    activation = _plan_activation(host, engine, request, desired.merge, service_state, restart, outcome)

    transaction = Transaction.begin(host, desired.files, _collect_facts(request, desired, activation, service_state))
    outcome.transaction, outcome.changed = transaction.id, True
    moment = time.time()
    try:
        if activation.migration:
            data_root.migrate_data(activation.migration, engine, transaction, activation.before, request.timeout)
        _write_files(host, transaction, desired, request)
        if start:
            transaction.record_step("start")
            service.restart(request.timeout)
            wait_for_answer(engine, request, "start")
            outcome.started = True
        elif not service_state.running:
            outcome.notices.append(
                f"{instance.unit} is {service_state.active} and stays so; the configuration takes effect at its next start"
            )
        elif request.restart != NEVER:
            activate(engine, request, transaction, activation, outcome)
        elif restart:
            outcome.warnings.append("the engine was not restarted (restart: never); it keeps the old configuration until its next restart")
        if request.containers_worse == comparison.UNDO:
            _compare_containers(engine, request, transaction, activation, moment, outcome)
    except (OSError, ValueError, EngineError, ServiceError, comparison.ContainersWorse) as error:
        recovery.undo_failed_change(transaction, engine, request, error, moment, outcome)
    transaction.commit()
    if request.containers_worse != comparison.UNDO:
        # After the commit: an interrupted wait does not undo the change.
        _compare_containers(engine, request, transaction, activation, moment, outcome)


def _compare_containers(
    engine: Engine, request: ConfigRequest, transaction: Transaction, activation: Activation, changed: float, outcome: ConfigOutcome
) -> None:
    """Compare the containers that ran before with now, if the change had an effect on them. Raises ContainersWorse or ConfigFailed as `request` asks."""
    kept = {container["id"] for container in activation.before.containers}  # a migration leaves some stopped
    before = [container for container in activation.conditions if container["id"] in kept]
    if not before or not (transaction.has_step("restart") or transaction.has_step("daemon-reload")):
        return
    try:
        worse, unknown = comparison.find_worse(engine, before, time.time(), request.containers_wait, changed)
    except EngineUnreachable as error:
        if request.containers_worse == comparison.UNDO:
            raise
        outcome.warnings.append(f"whether containers got worse is not known: {error}")
        return
    if unknown:
        waited = f"{request.containers_wait:.0f} s"
        outcome.warnings.append(
            f"no result of their health checks within {waited}, so whether these got worse is not known: {', '.join(unknown)}"
        )
    # Another data root does not have them, and --rm removes what stops: neither can be undone.
    outcome.containers_worse = [entry for entry in worse if entry["after"] != comparison.REMOVED or not activation.loses_data]
    counted = [entry for entry in outcome.containers_worse if entry["after"] != comparison.REMOVED]
    if not outcome.containers_worse:
        return
    text = comparison.format_worse(outcome.containers_worse)
    if counted and request.containers_worse == comparison.UNDO:
        raise comparison.ContainersWorse(text)
    if counted and request.containers_worse == comparison.FAIL:
        raise ConfigFailed(f"{text}; the change stays", outcome)
    outcome.warnings.append(text)


def _needs_restart(host: Host, request: ConfigRequest, merge: Merge, service_state: ServiceState) -> bool:
    """Return whether a running engine needs a restart to work with the new files. It reads a seccomp profile only at its start."""
    if not service_state.running:
        return False
    if request.restart == ALWAYS or merge.needs_restart:
        return True
    profile = merge.after.get("seccomp-profile")
    started = read_start_time(host, service_state.pid)
    if not isinstance(profile, str) or not profile.startswith("/") or started is None:
        return False
    try:
        # The kernel's start time of a process has a resolution of 10 ms, and the boot time one of a second.
        return started + 1 < host.path(profile).stat().st_mtime <= time.time()
    except OSError:
        return False


def _plan_activation(
    host: Host, engine: Engine, request: ConfigRequest, merge: Merge, service_state: ServiceState, restart: bool, outcome: ConfigOutcome
) -> Activation:
    """Return what the running engine has to do. Raises ConfigFailed, OSError or ValueError when containers or data would be lost."""
    # A connection to its socket would start a stopped engine.
    before = engine_restart.take_snapshot(host, engine) if service_state.running else engine_restart.EngineSnapshot()
    if service_state.running and not before.running:
        raise build_blocked_error(
            f"{request.instance.unit} is active, but no engine answers on {engine.socket}; set its socket, or repair it first", outcome
        )
    stale = not request.instance.rootless and data_root.has_stale_root(
        parse_flags(request.find_command(host)[1:]), before.root, merge.after
    )
    switches_root = merge.switches_root or stale
    migration = request.migration if switches_root and restart and request.restart != NEVER else None
    conditions = comparison.read_conditions(engine, before.containers)
    activation = Activation(before, restart, switches_root, merge.after.get("live-restore") is True, migration, conditions)
    if activation.stops_containers and not request.stop_containers:
        names = ", ".join(container["name"] for container in before.containers)
        raise build_blocked_error(
            f"the engine switches to another data root and would no longer manage the running containers {names}; stop them first, or set"
            " stop_containers: true",
            outcome,
        )
    if migration:
        migration.prepare(engine.get("/info"), data_root.find_writing_orphans(host, engine))
    return activation


def _collect_facts(request: ConfigRequest, desired: DesiredFiles, activation: Activation, service_state: ServiceState) -> dict[str, object]:
    """Return what undoing this change needs to know."""
    return {
        "user": request.instance.user,
        "running": service_state.running,
        "containers": list(activation.before.containers),
        "reverts": desired.reverts,
        "moves_to": activation.migration and activation.migration.root,
    }


def _write_files(host: Host, transaction: Transaction, desired: DesiredFiles, request: ConfigRequest) -> None:
    private = (request.instance.record_path, request.file if request.instance.rootless else "")
    # daemon.json last: after a power cut, an engine starts with the new one only when every other file is written.
    for path, text in sorted(desired.files.items(), key=lambda item: item[0] == request.file):
        if host.read(path) == text:
            continue
        if text is None:
            transaction.remove(path)
        else:
            transaction.write(path, text, 0o600 if path in private else 0o644)
        if path == request.instance.drop_in:
            transaction.record_step("daemon-reload")
            service = EngineService(request.instance)
            swap_limits.keep_zero_swap(host, service, request.timeout)
            service.reload_units(request.timeout)
