# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's configuration, changed as one: daemon.json, the default PIDs limit's drop-in, and what we remember of both.

Snapshot, merge, validate, write, restart or reload as needed, probe; commit, or put everything back and say why.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine import binary, flags, unit
from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.service import Service, ServiceError, ServiceState
from ..host import state
from ..host.files import sha256
from ..host.root import STATE_DIR, Host
from ..host.system import read_start_time
from . import checks, daemon_json, data_root, drop_in, engine_restart, keys, recovery, revert, swap_limits
from .request import ALWAYS, NEEDED, NEVER, ConfigFailed, ConfigOutcome, ConfigRequest
from .transaction import Transaction, list_open

__all__ = ["ALWAYS", "NEEDED", "NEVER", "Failed", "Outcome", "Request", "configure"]

PIDS_KEY = "default-pids-limit"


@dataclass
class Intent:
    """The files as they are to be: path → text, None for a file that is to go."""

    merge: daemon_json.Merge
    memory: dict[str, Any]
    files: dict[str, str | None]
    reverts: str | None = None


def change_config(host: Host, engine: Engine, request: ConfigRequest) -> ConfigOutcome:
    """Bring the configuration to what `request` says. Raises Failed; then the host is as it was before."""
    host, outcome = request.instance.scope_host(host), ConfigOutcome()
    misplaced = request.instance.explain_misplaced(request.file)
    if misplaced:
        raise _refusal(misplaced, outcome)
    intend = _revert if request.revert else _intend
    try:
        if request.check:
            if list_open(host):
                outcome.warnings.append(
                    "an earlier run died in the middle of a change; the next run outside check mode puts back what it had begun"
                )
            intent = intend(host, request, outcome)
            if outcome.diff:
                _validate(host, request, intent, outcome)
            return outcome
        with state.lock_host(host):
            recovery.recover_interrupted(host, engine, request, outcome)
            if request.recover:
                return outcome
            intent = intend(host, request, outcome)
            _apply(host, engine, request, intent, outcome)
    except BlockingIOError:
        raise ConfigFailed(
            f"another run of Bulkhead is changing this host (it holds {STATE_DIR}/lock); wait until it has ended", outcome
        ) from None
    except (OSError, ValueError, EngineError, ServiceError) as error:
        raise ConfigFailed(str(error), outcome) from error
    return outcome


# --- what is to be ---


def _intend(host: Host, request: ConfigRequest, outcome: ConfigOutcome) -> Intent:
    """Merge; what will differ goes into `outcome`. Raises ValueError where daemon.json or our memory can't be understood."""
    remembered = state.load(host, request.instance.subject)
    of_file = remembered.get("files", {}).get(request.file, {})
    document = daemon_json.parse_daemon_json(host.read(request.file), request.file)
    created = bool(of_file.get("created")) or document.source is None
    merge = daemon_json.merge_keys(document, request.options, of_file.get("keys", {}), request.keep, created, request.file)

    memory = {**remembered, "files": dict(remembered.get("files", {}))}
    memory["files"].pop(request.file, None)
    if merge.memory or (created and merge.text is not None):
        memory["files"][request.file] = {
            "created": created and merge.text is not None,
            "keys": merge.memory,
            "sha256": sha256(merge.text or ""),
        }
    files: dict[str, str | None] = {request.file: merge.text}
    if request.pids_limit is not None:
        files[request.instance.drop_in] = drop_in.render_drop_in(request.pids_limit) if request.pids_limit > 0 else None
    if not memory["files"]:
        del memory["files"]
    if memory.keys() - {"dockerd"}:
        memory["dockerd"] = binary.recall_known_keys(remembered, PIDS_KEY)
    else:
        memory = {}
    files[request.instance.memory] = json.dumps(memory, indent=1, sort_keys=True) + "\n" if memory else None
    _note(host, request, merge, files, outcome)
    return Intent(merge, memory, files)


def _revert(host: Host, request: ConfigRequest, outcome: ConfigOutcome) -> Intent:
    """The last change, the other way round: to the bytes that stood there before it."""
    last, memory = revert.find_last_change(host, request.file, request.stop_containers), request.instance.memory
    _note(host, request, last.merge, last.files, outcome)
    return Intent(last.merge, json.loads(last.files.get(memory) or "{}"), {memory: host.read(memory), **last.files}, last.id)


def _note(host: Host, request: ConfigRequest, merge: daemon_json.Merge, files: Mapping[str, str | None], outcome: ConfigOutcome) -> None:
    """Put into `outcome` what will differ."""
    outcome.notices += merge.notices
    outcome.keys_changed = keys.list_changed_keys(merge.before, merge.after)
    outcome.keys_needing_restart = keys.list_restart_keys(merge.before, merge.after)
    for path, text in files.items():
        before = host.read(path)
        if before != text and path != request.instance.memory:
            outcome.diff[path] = (before or "", text or "")
    outcome.changed = outcome.changed or bool(outcome.diff)


def _validate(host: Host, request: ConfigRequest, intent: Intent, outcome: ConfigOutcome) -> None:
    """Before anything is written, and before any restart: a file that somebody spoilt by hand would keep the engine down as well."""
    problem = _problem(host, request, intent.merge)
    if problem:
        raise _refusal(problem, outcome)


def _refusal(problem: str, outcome: ConfigOutcome) -> ConfigFailed:
    outcome.changed = bool(outcome.recovered)
    return ConfigFailed(f"nothing was changed: {problem}", outcome)


def _problem(host: Host, request: ConfigRequest, merge: daemon_json.Merge) -> str:
    """Why the engine would not start, or not work, with this configuration; empty when nothing is known against it."""
    docker_unit = unit.read_unit(host, request.instance)
    arguments = flags.find_dockerd_arguments(docker_unit.argv)
    found = flags.parse_flags(arguments)
    for key, flag in flags.find_clashes(found, merge.after).items():
        place = unit.find_flag_file(flag, docker_unit.files) or f"the command line of {request.instance.unit}"
        return (
            f"{request.file}: {key} is also set by --{flag}={found[flag]} in {place}, and the engine does not start with both;"
            " take one of them out"
        )
    if request.own_checks:
        problems = checks.check_content(merge.after, host, request.file)
        if problems:
            return "; ".join(problems)
    dockerd = binary.find_dockerd()
    if dockerd is None:
        return "there is no dockerd on this host that could say whether it takes this configuration; install the engine first"
    content = dict(merge.after)
    if binary.would_create_user(content):
        del content["userns-remap"]
    text = merge.text if content == merge.after and merge.text is not None else json.dumps(content)
    usual = ("-H", f"unix://{request.instance.socket}" if request.instance.rootless else "fd://")
    return binary.validate_config(dockerd, text, arguments or usual, request.file) or ""


# --- doing it ---


def _apply(host: Host, engine: Engine, request: ConfigRequest, intent: Intent, outcome: ConfigOutcome) -> None:
    instance, service = request.instance, Service(request.instance)
    condition = service.read_state()
    if not condition.loaded:
        raise _refusal(f"systemd knows no {instance.unit} on this host; install the engine first", outcome)
    restart = _restart_needed(host, request, intent, outcome, condition)
    start = request.start and not condition.running
    if not outcome.diff and not restart and not start:
        if intent.files[instance.memory] != host.read(instance.memory):
            state.save(host, instance.subject, intent.memory)
        return
    _validate(host, request, intent, outcome)
    # A connection to its socket would start an engine that is stopped.
    before = engine_restart.take_snapshot(engine) if condition.running else engine_restart.EngineSnapshot()
    if condition.running and not before.running:
        raise _refusal(f"{instance.unit} is active, but no engine answers on {engine.socket}; name its socket, or mend it first", outcome)
    live_restore = intent.merge.after.get("live-restore") is True
    stale = not instance.rootless and data_root.has_stale_root(host, before.root, intent.merge.after)
    switches_root = bool(keys.ROOT_KEYS & set(outcome.keys_changed)) or stale
    move = request.move if switches_root and restart and request.restart != NEVER else None
    stop = switches_root and restart and bool(before.containers)
    if stop and not request.stop_containers:
        names = ", ".join(c["name"] for c in before.containers)
        raise _refusal(
            f"the engine's data moves to another folder, and {names} would run on unseen by it; stop them first, or let"
            " them be stopped with stop_containers: true",
            outcome,
        )

    if move:
        move.prepare(engine.get("/info"), data_root.find_writing_orphans(host, engine))
    facts = {"user": instance.user, "running": condition.running, "containers": list(before.containers), "reverts": intent.reverts}
    facts["moves_to"] = move and move.root
    transaction = Transaction.begin(host, intent.files, facts)
    outcome.transaction, outcome.changed = transaction.id, True
    moment = time.time()
    try:
        if move:
            data_root.migrate_data(move, engine, transaction, before, request.timeout)
            before.containers = [c for c in before.containers if c["name"] not in move.leave]
        _write(host, transaction, intent, request)
        if start:
            transaction.record_step("start")
            service.restart(request.timeout)
            _wait(engine, request, "start")
            outcome.started = True
        elif condition.running and request.restart != NEVER:
            stop = stop and move is None
            _activate(engine, transaction, request, before, restart, stop, switches_root and move is None, live_restore, outcome)
        elif not condition.running:
            outcome.notices.append(f"{instance.unit} is {condition.active} and was left so; the configuration holds from its next start")
        elif restart:
            outcome.warnings.append("the engine was not restarted (restart: never); it works with the old configuration until it is")
    except (OSError, ValueError, EngineError, ServiceError) as error:
        recovery.undo_failed_change(host, transaction, engine, request, error, moment, outcome)
    transaction.commit()


def _restart_needed(host: Host, request: ConfigRequest, intent: Intent, outcome: ConfigOutcome, condition: ServiceState) -> bool:
    """Whether the engine has to be restarted to work with the files as they will be. A profile is read once, at the start."""
    if not condition.running:
        return False
    if request.restart == ALWAYS or outcome.keys_needing_restart:
        return True
    profile = intent.merge.after.get("seccomp-profile")
    started = read_start_time(host, condition.pid)
    if not isinstance(profile, str) or not profile.startswith("/") or started is None:
        return False
    try:
        # The kernel's start time of a process has a resolution of 10 ms, and the boot time one of a second.
        return started + 1 < host.path(profile).stat().st_mtime <= time.time()
    except OSError:
        return False


def _write(host: Host, transaction: Transaction, intent: Intent, request: ConfigRequest) -> None:
    private = (request.instance.memory, request.file if request.instance.rootless else "")
    # daemon.json last: an engine that starts after a power cut has the new configuration only where everything else is written.
    for path, text in sorted(intent.files.items(), key=lambda item: item[0] == request.file):
        if host.read(path) == text:
            continue
        if text is None:
            transaction.remove(path)
        else:
            transaction.write(path, text, 0o600 if path in private else 0o644)
        if path == request.instance.drop_in:
            transaction.record_step("daemon-reload")
            service = Service(request.instance)
            swap_limits.keep_zero_swap(host, service, request.timeout)
            service.reload_units(request.timeout)


def _activate(
    engine: Engine,
    transaction: Transaction,
    request: ConfigRequest,
    before: engine_restart.EngineSnapshot,
    restart: bool,
    stop: bool,
    switches_root: bool,
    live_restore: bool,
    outcome: ConfigOutcome,
) -> None:
    """Make the running engine work with the new files, and see that what ran runs. Raises when it does not."""
    service = Service(request.instance)
    if not restart:
        if outcome.keys_changed:
            _reload(engine, transaction, request, outcome)
        return
    if stop:
        transaction.record_step("stop-containers")
        if before.live_restore:  # otherwise the engine stops them itself, and remembers no wish for it (`unless-stopped`)
            engine_restart.stop_containers(engine, before.containers)
    elif live_restore and not before.live_restore and not before.swarm and before.containers and not transaction.has_step("move"):
        # Its containers then survive this restart already. The engine takes over live-restore, and not what needs the restart.
        transaction.record_step("reload")
        service.reload_engine()
        before.live_restore = engine_restart.wait_for_live_restore(engine, 10)
    transaction.record_step("restart")
    begin = time.monotonic()
    service.restart(request.timeout)
    _wait(engine, request, "restart")
    outcome.downtime, outcome.restarted = round(time.monotonic() - begin, 2), True
    # Under another root there are those alone that have been there before: a carried root's have the IDs that the plain one's had.
    known = {c["Id"] for c in engine.get("/containers/json", all="1")} if switches_root else None
    ran = [c for c in before.containers if known is None or c["id"] in known]
    outlive = live_restore and before.live_restore and not stop and not transaction.has_step("move")
    back = engine_restart.restart_containers(engine, ran, request.timeout, outlive)
    outcome.containers_restarted = back.started
    if back.gone:
        outcome.warnings.append(f"removed with their stop, as they were started with --rm: {', '.join(back.gone)}")
    if back.failed:
        raise EngineUnreachable("; ".join(f"container {name} does not start again: {reason}" for name, reason in back.failed.items()))


def _wait(engine: Engine, request: ConfigRequest, what: str) -> None:
    if not engine_restart.wait_for_engine(engine, request.timeout):
        raise EngineUnreachable(f"the engine does not answer on {engine.socket} within {request.timeout:.0f} s of its {what}")


def _reload(engine: Engine, transaction: Transaction, request: ConfigRequest, outcome: ConfigOutcome) -> None:
    transaction.record_step("reload")
    moment, service = time.time(), Service(request.instance)
    service.reload_engine()
    confirmed = engine_restart.wait_for_reload(engine, moment, min(30, request.timeout), lambda: service.find_reload_error(moment) is not None)
    complaint = None if confirmed else service.find_reload_error(moment)
    if complaint:
        raise EngineUnreachable(f"the engine does not take over its configuration: {complaint}")
    if not confirmed and not engine.ping():
        raise EngineUnreachable("the engine does not answer after its reload")
    if not confirmed:
        outcome.warnings.append("the engine was told to read its configuration again, and has not confirmed that it did")
    outcome.reloaded = True
