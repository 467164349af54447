# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's configuration, changed as one: daemon.json, the default PIDs limit's drop-in, and what we remember of both.

Snapshot, merge, validate, write, restart or reload as needed, probe; commit, or put everything back and say why.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..host import state
from ..host.files import sha256
from ..host.root import STATE_DIR, Host
from ..host.system import started_at
from . import binary, checks, daemon_json, drop_in, keys, moving, restoring, revive, service, unit
from .api import Engine, EngineError, EngineUnreachable
from .transaction import Transaction, left_open

SUBJECT = "daemon"
MEMORY = f"{STATE_DIR}/{SUBJECT}.json"
PIDS_KEY = "default-pids-limit"
NEEDED, ALWAYS, NEVER = "needed", "always", "never"
# Undoing is the last line of defence: where a step of it is slow, there is nothing better to do than to wait.
_PATIENCE = 3


@dataclass(frozen=True)
class Request:
    """What the engine's configuration is to be. The fields are the options of the module daemon_config, described there."""

    options: Mapping[str, Any]
    keep: frozenset[str] = frozenset()
    pids_limit: int | None = None
    path: str = "/etc/docker/daemon.json"
    restart: str = NEEDED
    stop_containers: bool = False
    move: moving.Move | None = None
    own_checks: bool = True
    timeout: float = 120
    check: bool = False
    recover: bool = False
    revert: bool = False


@dataclass
class Outcome:
    """What was done. `diff`: path → (before, after)."""

    changed: bool = False
    restarted: bool = False
    reloaded: bool = False
    downtime: float = 0.0
    transaction: str | None = None
    recovered: list[str] = field(default_factory=list)
    containers_restarted: list[str] = field(default_factory=list)
    keys_changed: list[str] = field(default_factory=list)
    keys_needing_restart: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    engine_message: str | None = None
    rolled_back: bool = False
    diff: dict[str, tuple[str, str]] = field(default_factory=dict)


class Failed(Exception):
    """Refused, or tried and undone. `outcome` says how far it went."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass
class Intent:
    """The files as they are to be: path → text, None for a file that is to go."""

    merge: daemon_json.Merge
    memory: dict[str, Any]
    files: dict[str, str | None]
    path: str
    reverts: str | None = None


def configure(host: Host, engine: Engine, request: Request) -> Outcome:
    """Bring the configuration to what `request` says. Raises Failed; then the host is as it was before."""
    outcome = Outcome()
    intend = _revert if request.revert else _intend
    try:
        if request.check:
            if left_open(host):
                outcome.warnings.append(
                    "an earlier run died in the middle of a change; the next run outside check mode puts back what it had begun"
                )
            intent = intend(host, request, outcome)
            if outcome.diff:
                _validate(host, request, intent, outcome)
            return outcome
        with state.exclusive(host):
            recover(host, engine, outcome, request.timeout)
            if request.recover:
                return outcome
            intent = intend(host, request, outcome)
            _apply(host, engine, request, intent, outcome)
    except BlockingIOError:
        raise Failed(
            f"another run of Bulkhead is changing this host (it holds {STATE_DIR}/lock); wait until it has ended", outcome
        ) from None
    except (OSError, ValueError, EngineError, service.ServiceError) as error:
        raise Failed(str(error), outcome) from error
    return outcome


def recover(host: Host, engine: Engine, outcome: Outcome, timeout: float) -> None:
    """Undo, or finish, what a run that died has left open, so that this one starts from a state that somebody wanted."""
    for transaction in left_open(host):
        try:
            if moving.taken_up(transaction, engine):
                outcome.containers_restarted = moving.finish(transaction, engine, timeout)
            else:
                undo(transaction, engine, timeout, outcome)
        except (OSError, EngineError, service.ServiceError) as error:
            raise Failed(
                f"what a run that died had begun ({transaction.id}) could not be undone: {error}; the next run tries again", outcome
            ) from error
        outcome.recovered.append(transaction.id)
        outcome.changed = True


# --- what is to be ---


def _intend(host: Host, request: Request, outcome: Outcome) -> Intent:
    """Merge; what will differ goes into `outcome`. Raises ValueError where daemon.json or our memory can't be understood."""
    remembered = state.load(host, SUBJECT)
    of_file = remembered.get("files", {}).get(request.path, {})
    document = daemon_json.parse(host.read(request.path), request.path)
    created = bool(of_file.get("created")) or document.source is None
    merge = daemon_json.merge(document, request.options, of_file.get("keys", {}), request.keep, created, request.path)

    memory = {**remembered, "files": dict(remembered.get("files", {}))}
    memory["files"].pop(request.path, None)
    if merge.memory or (created and merge.text is not None):
        memory["files"][request.path] = {
            "created": created and merge.text is not None,
            "keys": merge.memory,
            "sha256": sha256(merge.text or ""),
        }
    files: dict[str, str | None] = {request.path: merge.text}
    if request.pids_limit is not None:
        files[drop_in.PATH] = drop_in.render(request.pids_limit) if request.pids_limit > 0 else None
    if not memory["files"]:
        del memory["files"]
    if memory.keys() - {"dockerd"}:
        memory["dockerd"] = binary.known(remembered, PIDS_KEY)
    else:
        memory = {}
    files[MEMORY] = json.dumps(memory, indent=1, sort_keys=True) + "\n" if memory else None

    _note(host, merge, files, outcome)
    return Intent(merge, memory, files, request.path)


def _revert(host: Host, request: Request, outcome: Outcome) -> Intent:
    """The last change, the other way round: to the bytes that stood there before it."""
    last = restoring.last(host, request.path, request.stop_containers)
    _note(host, last.merge, last.files, outcome)
    return Intent(last.merge, json.loads(last.files.get(MEMORY) or "{}"), {MEMORY: host.read(MEMORY), **last.files}, request.path, last.id)


def _note(host: Host, merge: daemon_json.Merge, files: Mapping[str, str | None], outcome: Outcome) -> None:
    """Put into `outcome` what will differ."""
    outcome.notices += merge.notices
    outcome.keys_changed = keys.changed(merge.before, merge.after)
    outcome.keys_needing_restart = keys.needs_restart(merge.before, merge.after)
    for path, text in files.items():
        before = host.read(path)
        if before != text and path != MEMORY:
            outcome.diff[path] = (before or "", text or "")
    outcome.changed = outcome.changed or bool(outcome.diff)


def _validate(host: Host, request: Request, intent: Intent, outcome: Outcome) -> None:
    """Before anything is written, and before any restart: a file that somebody spoilt by hand would keep the engine down as well."""
    problem = _problem(host, request, intent.merge)
    if problem:
        raise _refusal(problem, outcome)


def _refusal(problem: str, outcome: Outcome) -> Failed:
    outcome.changed = bool(outcome.recovered)
    return Failed(f"nothing was changed: {problem}", outcome)


def _problem(host: Host, request: Request, merge: daemon_json.Merge) -> str:
    """Why the engine would not start, or not work, with this configuration; empty when nothing is known against it."""
    docker_unit = unit.read(host)
    arguments = unit.arguments(docker_unit.argv)
    found = unit.flags(arguments)
    for key, flag in unit.clashes(found, merge.after).items():
        place = unit.where(flag, docker_unit.files) or "the command line of docker.service"
        return (
            f"{request.path}: {key} is also set by --{flag}={found[flag]} in {place}, and the engine does not start with both;"
            " take one of them out"
        )
    if request.own_checks:
        problems = checks.problems(merge.after, host, request.path)
        if problems:
            return "; ".join(problems)
    dockerd = binary.find()
    if dockerd is None:
        return "there is no dockerd on this host that could say whether it takes this configuration; install the engine first"
    content = dict(merge.after)
    if binary.creates_user(content):
        del content["userns-remap"]
    text = merge.text if content == merge.after and merge.text is not None else json.dumps(content)
    return binary.validate(dockerd, text, arguments or ("-H", "fd://"), request.path) or ""


def _apply(host: Host, engine: Engine, request: Request, intent: Intent, outcome: Outcome) -> None:
    condition = service.state()
    if not condition.loaded:
        raise _refusal("systemd knows no docker.service on this host; install the engine first", outcome)
    restart = _restart_needed(host, request, intent, outcome, condition)
    if not outcome.diff and not restart:
        if intent.files[MEMORY] != host.read(MEMORY):
            state.save(host, SUBJECT, intent.memory)
        return
    _validate(host, request, intent, outcome)
    # A connection to its socket would start an engine that is stopped.
    before = revive.look(engine) if condition.running else revive.Before()
    if condition.running and not before.running:
        raise _refusal(f"docker.service is active, but no engine answers on {engine.socket}; name its socket, or mend it first", outcome)
    live_restore = intent.merge.after.get("live-restore") is True
    switches_root = bool(keys.ROOT_KEYS & set(outcome.keys_changed)) or moving.stale_root(host, before.root, intent.merge.after)
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
        move.prepare(engine.get("/info"), moving.orphans(host, engine))
    facts = {"running": condition.running, "containers": list(before.containers), "moves_to": move and move.root, "reverts": intent.reverts}
    transaction = Transaction.begin(host, intent.files, facts)
    outcome.transaction, outcome.changed = transaction.id, True
    moment = time.time()
    try:
        if move:
            moving.carry(move, engine, transaction, before, request.timeout)
            before.containers = [c for c in before.containers if c["name"] not in move.leave]
        _write(host, transaction, intent, request.timeout)
        if condition.running and request.restart != NEVER:
            stop = stop and move is None
            _activate(engine, transaction, request, before, restart, stop, switches_root and move is None, live_restore, outcome)
        elif not condition.running:
            outcome.notices.append(f"docker.service is {condition.active} and was left so; the configuration holds from its next start")
        elif restart:
            outcome.warnings.append("the engine was not restarted (restart: never); it works with the old configuration until it is")
    except (OSError, ValueError, EngineError, service.ServiceError) as error:
        _fail(transaction, engine, request, error, moment, outcome)
    transaction.commit()


def _restart_needed(host: Host, request: Request, intent: Intent, outcome: Outcome, condition: service.State) -> bool:
    """Whether the engine has to be restarted to work with the files as they will be. A profile is read once, at the start."""
    if not condition.running:
        return False
    if request.restart == ALWAYS or outcome.keys_needing_restart:
        return True
    profile = intent.merge.after.get("seccomp-profile")
    started = started_at(host, condition.pid)
    if not isinstance(profile, str) or not profile.startswith("/") or started is None:
        return False
    try:
        # The kernel's start time of a process has a resolution of 10 ms, and the boot time one of a second.
        return started + 1 < host.path(profile).stat().st_mtime <= time.time()
    except OSError:
        return False


def _write(host: Host, transaction: Transaction, intent: Intent, timeout: float) -> None:
    # daemon.json last: an engine that starts after a power cut has the new configuration only where everything else is written.
    for path, text in sorted(intent.files.items(), key=lambda item: item[0] == intent.path):
        if host.read(path) == text:
            continue
        if text is None:
            transaction.remove(path)
        else:
            transaction.write(path, text, 0o600 if path == MEMORY else 0o644)
        if path == drop_in.PATH:
            transaction.step("daemon-reload")
            service.reload_units(timeout)


def _activate(
    engine: Engine,
    transaction: Transaction,
    request: Request,
    before: revive.Before,
    restart: bool,
    stop: bool,
    switches_root: bool,
    live_restore: bool,
    outcome: Outcome,
) -> None:
    """Make the running engine work with the new files, and see that what ran runs. Raises when it does not."""
    if not restart:
        if outcome.keys_changed:
            _reload(engine, transaction, request, outcome)
        return
    if stop:
        transaction.step("stop-containers")
        if before.live_restore:  # otherwise the engine stops them itself, and remembers no wish for it (`unless-stopped`)
            revive.stop(engine, before.containers)
    elif live_restore and not before.live_restore and not before.swarm and before.containers and not transaction.did("move"):
        # Its containers then survive this restart already. The engine takes over live-restore, and not what needs the restart.
        transaction.step("reload")
        service.reload_engine(service.state().pid)
        revive.wait_for_live_restore(engine, 10)
    transaction.step("restart")
    begin = time.monotonic()
    service.restart(request.timeout)
    if not revive.wait_until_it_answers(engine, request.timeout):
        raise EngineUnreachable(f"the engine does not answer on {engine.socket} within {request.timeout:.0f} s of its restart")
    outcome.downtime, outcome.restarted = round(time.monotonic() - begin, 2), True
    # Under another root there are those alone that have been there before: a carried root's have the IDs that the plain one's had.
    known = {c["Id"] for c in engine.get("/containers/json", all="1")} if switches_root else None
    ran = [c for c in before.containers if known is None or c["id"] in known]
    back = revive.bring_back(engine, ran, request.timeout)
    outcome.containers_restarted = back.started
    if back.gone:
        outcome.warnings.append(f"removed with their stop, as they were started with --rm: {', '.join(back.gone)}")
    if back.failed:
        raise EngineUnreachable("; ".join(f"container {name} does not start again: {reason}" for name, reason in back.failed.items()))


def _reload(engine: Engine, transaction: Transaction, request: Request, outcome: Outcome) -> None:
    transaction.step("reload")
    moment = time.time()
    service.reload_engine(service.state().pid)
    confirmed = revive.wait_for_reload(engine, moment, min(30, request.timeout), lambda: service.reload_error(moment) is not None)
    complaint = None if confirmed else service.reload_error(moment)
    if complaint:
        raise EngineUnreachable(f"the engine does not take over its configuration: {complaint}")
    if not confirmed and not engine.ping():
        raise EngineUnreachable("the engine does not answer after its reload")
    if not confirmed:
        outcome.warnings.append("the engine was told to read its configuration again, and has not confirmed that it did")
    outcome.reloaded = True


def _fail(transaction: Transaction, engine: Engine, request: Request, error: Exception, moment: float, outcome: Outcome) -> None:
    tried = transaction.did("restart") or transaction.did("reload")
    outcome.engine_message = (service.failure_since(moment) or None) if transaction.did("restart") else None
    reason = outcome.engine_message or str(error)
    failed = f"the engine did not come up with the new configuration: {reason}"
    if not transaction.did("restart"):
        failed = reason if tried else f"the files could not be changed: {reason}"
    outcome.restarted = outcome.reloaded = False
    try:
        undo(transaction, engine, request.timeout, outcome)
    except (OSError, EngineError, service.ServiceError) as second:
        raise Failed(
            f"{failed}; and the previous state could not be brought back: {second}; the files as they were are in"
            f" {STATE_DIR}/transactions/{transaction.id}, and the next run tries again",
            outcome,
        ) from error
    outcome.changed, outcome.rolled_back = bool(outcome.recovered), True
    again = "the previous configuration is back" + (" and the engine runs with it" if transaction.journal["facts"].get("running") else "")
    raise Failed(f"{failed}; {again}", outcome) from error


def undo(transaction: Transaction, engine: Engine, timeout: float, outcome: Outcome) -> None:
    """Bring back the files, the engine and its containers as the journal says they were. Raises when that fails; the journal stays open."""
    facts, timeout = transaction.journal["facts"], timeout * _PATIENCE
    outcome.warnings += moving.put_aside(transaction, timeout)
    transaction.restore()
    if transaction.did("daemon-reload"):
        service.reload_units(timeout)
    if facts.get("running"):
        # Only a restart takes back for sure what a reload had taken over (keys.RELOADABLE), or what a restart had been for.
        if transaction.did("restart") or transaction.did("reload") or not service.state().running:
            service.start_anew(timeout)
            if not revive.wait_until_it_answers(engine, timeout):
                raise EngineUnreachable(f"the engine does not answer on {engine.socket} with its previous configuration")
        back = revive.bring_back(engine, facts.get("containers", []), timeout)
        outcome.containers_restarted = back.started
        if back.failed or back.gone:
            lost = ", ".join([*back.failed, *back.gone])
            outcome.warnings.append(f"these containers ran before and do not run again: {lost}; look at docker ps --all and docker logs")
    transaction.undone()
