# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a user's rootless engine onto a host, and taking it away again.

In an order in which a run that dies half-way leaves nothing that the next run does not find: what is ours is remembered before it is made. The
engine is not started here; that is the part of daemon_config, once its configuration is there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..apparmor import policy
from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.cgroups import list_container_ids
from ..engine.instance import ROOTFUL, Instance, find
from ..engine.service import Service, systemctl
from ..engine_config import engine_restart
from ..engine_config.change import Failed, configure
from ..engine_config.request import Request as Configuration
from ..host import state
from ..host.files import fsync_folder, write_atomically
from ..host.root import Host
from ..subid.apply import SubidError, apply_ranges
from ..subid.decide import UserRequest
from . import client_context, names, ports, rendering, rootful, stopped
from .names import RANGES, SUBJECT, read_file_state

Run = Callable[[list[str]], tuple[int, str, str]]


class SetupFailed(Exception):
    """One sentence."""


@dataclass
class Wish:
    """What is to be. The fields are the options of the module rootless_engine."""

    user: str
    ranges: UserRequest
    files: list[rendering.File] = field(default_factory=list)
    disable_rootful: bool = True
    stop_containers: bool = False
    timeout: float = 300


@dataclass
class Outcome:
    """changed, what was done, and what a person has to see to, a sentence each."""

    changed: bool = False
    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    instance: Instance = ROOTFUL

    def did(self, step: str) -> None:
        self.steps.append(step)
        self.changed = True


def present(host: Host, wish: Wish, check: bool, run: Run) -> Outcome:
    """Raises SetupFailed, SubidError, OSError, ValueError, ServiceError; BlockingIOError when another run is at work."""
    outcome = Outcome(instance=find(host, wish.user))
    if check:
        _foresee(host, wish, outcome, run)
        return outcome
    with state.exclusive(host):
        known = state.load(host, SUBJECT) or {"user": wish.user, "files": [], "linger": False, "created": False}
        if known["user"] != wish.user:
            raise SetupFailed(f"user: this host has the engine of {known['user']}; take that one back first (state: absent)")
        if outcome.instance.uid is None:
            known["created"] = True
            state.save(host, SUBJECT, known)
            _create_user(wish.user, run)
            outcome.did(f"user {wish.user} created")
            outcome.instance = find(host, wish.user)
    ranges = apply_ranges(host, [wish.ranges], RANGES, False, run)  # takes the lock for itself
    if ranges.changed:
        outcome.did("subordinate ranges given")
    before = stopped.recall(known, _before(outcome.instance, wish))
    known.setdefault("ran", before.running)
    with state.exclusive(host):
        beside = (
            rootful.off(host, known, wish.stop_containers, wish.timeout)
            if wish.disable_rootful
            else rootful.back(known, wish.timeout, outcome.warnings)
        )
        if beside:
            outcome.did(beside)
        manager_files, unit_files = _sorted(host, wish, outcome.instance)
        if _write(host, manager_files, known, outcome):
            systemctl("daemon-reload", timeout=wish.timeout)
        _modules(host, manager_files, known, outcome, run)
        _manager(host, wish, known, before, outcome)
        changed = _write(host, unit_files, known, outcome)
        if changed:
            systemctl("daemon-reload", timeout=wish.timeout, instance=outcome.instance)
        _remove_old(host, wish, known, outcome)
        _context(host, known, outcome)
        state.save(host, SUBJECT, known)
        _revive(host, wish, known, before, names.UNIT in changed, outcome)
    return outcome


def absent(host: Host, user: str, stop_containers: bool, timeout: float, check: bool) -> Outcome:
    """Take back what is ours; the user, images, containers and volumes stay. Raises as `present`."""
    known = state.load(host, SUBJECT)
    outcome = Outcome(instance=find(host, known.get("user") or user))
    if not known:
        return outcome
    instance, before = outcome.instance, engine_restart.Before()
    outcome.changed = True
    if check:
        outcome.did(f"rootless engine of {instance.user} removed")
        return outcome
    if instance.uid is not None:
        running = list_container_ids(host, instance)
        if running and not stop_containers:
            raise SetupFailed(
                f"{len(running)} containers run in the engine of {instance.user}; stop them first, or write stop_containers: true"
            )
        before = _stop_engine(host, known, instance, timeout, outcome)
    with state.exclusive(host):
        ports.give_back(host, known)
        for path in [*known.get("files", [])]:
            if os.path.lexists(host.path(path)):
                if path == names.ROOTLESSKIT and _loaded(host):
                    _command(["apparmor_parser", "--remove", path])
                host.path(path).unlink()
                _prune(host.path(path).parent)
                outcome.did(f"{path} removed")
        if instance.uid is not None:
            with suppress(OSError, ValueError):
                client_context.drop(instance.on(host), instance, known.get("context", []))
            if os.path.exists(f"{instance.runtime_dir}/bus"):
                systemctl("daemon-reload", timeout=timeout, instance=instance)
        systemctl("daemon-reload", timeout=timeout)
        if known.get("linger") and instance.uid is not None:
            _command(["loginctl", "disable-linger", instance.user])
            outcome.did(f"{instance.user} lingers no longer")
        beside = rootful.back(known, timeout, outcome.warnings)
        if beside:
            outcome.did(beside)
        try:
            if known.get("ran"):
                _start_own(before, instance, timeout, outcome)
        finally:  # a run that dies here leaves the next one what has to run again
            state.save(host, SUBJECT, {})
    return outcome


# --- the parts ---


def _foresee(host: Host, wish: Wish, outcome: Outcome, run: Run) -> None:
    seen = {file.path: read_file_state(host, file.path) for file in _with_uid(wish.files, outcome.instance)}
    for file in rendering.differing(_with_uid(wish.files, outcome.instance), seen):
        outcome.did(f"{file.path} written")
    if any(file.path == names.ROOTLESSKIT for file in wish.files) and not _loaded(host):
        outcome.did(f"profile {names.PROFILE} loaded")
    left = stopped.left(state.load(host, SUBJECT))
    if left:
        outcome.did(f"started again: {', '.join(left)}")
    if outcome.instance.uid is None:
        outcome.did(f"user {wish.user} created")
    elif apply_ranges(host, [wish.ranges], RANGES, True, run).changed:
        outcome.did("subordinate ranges given")


def _create_user(user: str, run: Run) -> None:
    """A system user with a home, for its engine's data, and a shell, to work as it. For others useradd would add ranges of its own choice."""
    code, out, err = run(
        ["useradd", "--system", "--user-group", "--create-home", "--home-dir", f"/home/{user}", "--shell", "/bin/bash", user]
    )
    if code:
        raise SetupFailed(f"useradd {user}: {(err or out).strip() or f'exit status {code}'}")
    os.chmod(f"/home/{user}", 0o700)


def _with_uid(files: list[rendering.File], instance: Instance) -> list[rendering.File]:
    """The plan was made before the user had an ID."""
    unknown, known = names.delegation_path(None), names.delegation_path(instance.uid)
    return [rendering.File(known if file.path == unknown else file.path, file.content, file.mode, file.link) for file in files]


def _sorted(host: Host, wish: Wish, instance: Instance) -> tuple[list[rendering.File], list[rendering.File]]:
    """What has to be there before the user's manager starts, and what must not be: with a unit it would start the engine at once."""
    files = _with_uid(wish.files, instance)
    late = (names.UNIT, names.ENABLED)
    return [file for file in files if file.path not in late], [file for file in files if file.path in late]


def _write(host: Host, files: list[rendering.File], known: dict[str, Any], outcome: Outcome) -> list[str]:
    """Write what differs, remembered first. Returns the paths. Raises SetupFailed for what is somebody else's."""
    seen = {file.path: read_file_state(host, file.path) for file in files}
    differing = rendering.differing(files, seen)
    foreign = [file.path for file in differing if seen[file.path] and file.path not in known["files"]]
    if foreign:
        raise SetupFailed(f"{', '.join(foreign)}: is somebody else's and says something else; move it away")
    fresh = [file.path for file in files if file.path not in known["files"]]
    if fresh:
        known["files"] = sorted([*known["files"], *fresh])
        state.save(host, SUBJECT, known)
    for file in differing:
        path = host.path(file.path)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.path.lexists(path):
            path.unlink()
        if file.link:
            path.symlink_to(file.link)
            fsync_folder(path.parent)
        else:
            write_atomically(path, file.content, file.mode)
        outcome.did(f"{file.path} written")
    return [file.path for file in differing]


def _modules(host: Host, files: list[rendering.File], known: dict[str, Any], outcome: Outcome, run: Run) -> None:
    """Now, as at every boot; a module that the kernel has built in, or does not have, is told by the engine if it needs it. Raises OSError."""
    done, desired = " ".join(outcome.steps), {file.path for file in files}
    if names.MODULES in desired:
        run(["modprobe", "--all", "--quiet", "br_netfilter", "ip_tables"])
    opened = ports.open_from(host, next((file.content for file in files if file.path == names.PORTS), ""), known, run)
    if opened:
        outcome.did(opened)
    if (names.ROOTLESSKIT in desired and not _loaded(host)) or names.ROOTLESSKIT in done:
        code, out, err = run(["apparmor_parser", "--replace", names.ROOTLESSKIT])
        if code:
            raise SetupFailed(f"apparmor_parser: {(err or out).strip()}")
        outcome.did(f"profile {names.PROFILE} loaded")


def _loaded(host: Host) -> bool:
    """Whether the kernel has rootlesskit's profile; a run may have died after it wrote the file. Raises OSError."""
    return names.PROFILE in policy.modes(host)


def _manager(host: Host, wish: Wish, known: dict[str, Any], before: engine_restart.Before, outcome: Outcome) -> None:
    """The user's service manager: there from boot on, and allowed to set all the limits."""
    instance = outcome.instance
    if not host.path(f"/var/lib/systemd/linger/{instance.user}").exists():
        known["linger"] = True
        state.save(host, SUBJECT, known)
        _command(["loginctl", "enable-linger", instance.user])
        outcome.did(f"{instance.user} lingers")
    _wait_for(
        f"{instance.runtime_dir}/bus",
        wish.timeout,
        f"the service manager of {instance.user} did not start; see journalctl -u user@{instance.uid}",
    )
    given = (host.read(f"{instance.manager_cgroup}/cgroup.controllers") or "").split()
    if set(names.CONTROLLERS) - set(given):
        if list_container_ids(host, instance) and not wish.stop_containers:
            raise SetupFailed(
                f"the manager of {instance.user} has to be restarted to get {', '.join(sorted(set(names.CONTROLLERS) - set(given)))},"
                " and containers run below it; stop them first, or write stop_containers: true"
            )
        stopped.remember(host, known, before)
        with suppress(EngineError, EngineUnreachable):
            engine_restart.stop(Engine.of(instance, wish.timeout), before.containers)
        systemctl("daemon-reload", timeout=wish.timeout)  # a drop-in that others took away is otherwise still in force
        systemctl("restart", f"user@{instance.uid}.service", timeout=wish.timeout)
        _wait_for(f"{instance.runtime_dir}/bus", wish.timeout, f"the service manager of {instance.user} did not come back")
        given = (host.read(f"{instance.manager_cgroup}/cgroup.controllers") or "").split()
        lacking = sorted(set(names.CONTROLLERS) - set(given))
        if lacking:
            raise SetupFailed(
                f"the manager of {instance.user} does not get {', '.join(lacking)}: see the drop-ins that `systemctl cat user@{instance.uid}`"
                " shows, and whether the kernel has these controllers (/sys/fs/cgroup/cgroup.controllers)"
            )
        outcome.did(f"manager of {instance.user} restarted")


def _remove_old(host: Host, wish: Wish, known: dict[str, Any], outcome: Outcome) -> None:
    """What an earlier run needed and this one does not."""
    desired = {file.path for file in _with_uid(wish.files, outcome.instance)}
    for path in sorted(set(known["files"]) - desired):
        if path == names.PORTS:
            ports.give_back(host, known)
        if os.path.lexists(host.path(path)):
            host.path(path).unlink()
            outcome.did(f"{path} removed")
        known["files"].remove(path)


def _context(host: Host, known: dict[str, Any], outcome: Outcome) -> None:
    instance = outcome.instance
    seen = client_context.look(instance.on(host), instance)
    if seen["error"]:
        raise SetupFailed(seen["error"])
    if client_context.lacking(seen):
        made = client_context.put(instance.on(host), instance)
        known["context"] = sorted({*known.get("context", []), *made})
        outcome.did("docker context rootless made")


def _before(instance: Instance, wish: Wish) -> engine_restart.Before:
    """The engine and what runs in it, before anything is done."""
    if instance.uid is None or not os.path.exists(f"{instance.runtime_dir}/bus") or not Service(instance).state().running:
        return engine_restart.Before()
    return engine_restart.look(Engine.of(instance, wish.timeout))


def _revive(host: Host, wish: Wish, known: dict[str, Any], before: engine_restart.Before, unit_changed: bool, outcome: Outcome) -> None:
    """An engine that ran takes over a changed unit, and runs again where its manager was restarted; so does what ran in it."""
    instance = outcome.instance
    service, engine = Service(instance), Engine.of(instance, wish.timeout)
    if not before.running:
        return
    if unit_changed or not service.state().running:
        stopped.remember(host, known, before)
        service.restart(wish.timeout)
        if not engine_restart.wait_until_it_answers(engine, wish.timeout):
            raise SetupFailed(f"the engine of {instance.user} does not answer after its restart")
        outcome.did("engine restarted")
    elif not stopped.left(known):
        return
    back = engine_restart.bring_back(engine, before.containers, wish.timeout)
    if back.started:
        outcome.did(f"started again: {', '.join(back.started)}")
    stopped.forget(host, known)
    failed = back.failed
    if failed:
        raise SetupFailed("; ".join(f"container {name} does not start again: {reason}" for name, reason in failed.items()))


def _start_own(before: engine_restart.Before, instance: Instance, timeout: float, outcome: Outcome) -> None:
    """An engine that the user ran by a unit of his own before we came runs on without us."""
    service, engine = Service(instance), Engine.of(instance, timeout)
    if not service.state().loaded:
        return
    service.restart(timeout)
    if not engine_restart.wait_until_it_answers(engine, timeout):
        raise SetupFailed(f"the engine of {instance.user} does not answer after its restart by its own unit")
    outcome.did(f"engine of {instance.user} started by its own unit")
    for name, reason in engine_restart.bring_back(engine, before.containers, timeout).failed.items():
        outcome.warnings.append(f"container {name} of {instance.user} ran before, and does not start again: {reason}")


def _stop_engine(host: Host, known: dict[str, Any], instance: Instance, timeout: float, outcome: Outcome) -> engine_restart.Before:
    """Stop the containers properly, then the engine, and take our keys out of its configuration. Returns what ran."""
    before = stopped.recall(known, engine_restart.Before())
    if not os.path.exists(f"{instance.runtime_dir}/bus"):
        return before
    service, engine = Service(instance), Engine.of(instance, timeout)
    if service.state().running:
        before = stopped.recall(known, engine_restart.look(engine))
        with state.exclusive(host):
            stopped.remember(host, known, before)
        with suppress(EngineError, EngineUnreachable):
            engine_restart.stop(engine, before.containers)
        service.stop(timeout)
        outcome.did(f"engine of {instance.user} stopped")
    try:
        done = configure(host, engine, Configuration(options={}, instance=instance, pids_limit=0, own_checks=False, timeout=timeout))
    except Failed as error:
        raise SetupFailed(str(error)) from error
    if done.changed:
        outcome.did(f"{instance.config} given back")
    return before


def _command(command: list[str]) -> None:
    import subprocess

    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if run.returncode:
        raise SetupFailed(f"{' '.join(command)}: {run.stderr.strip() or f'exit status {run.returncode}'}")


def _wait_for(path: str, timeout: float, otherwise: str) -> None:
    deadline = time.monotonic() + timeout
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise SetupFailed(f"{otherwise} ({path} is not there after {timeout:.0f} s)")
        time.sleep(0.2)


def _prune(folder: Path) -> None:
    """Folders of ours that are empty now; system folders never are, or can't be removed for other reasons."""
    if folder.name.endswith((".d", ".wants", "bulkhead", "rootless")):
        with suppress(OSError):
            folder.rmdir()
            _prune(folder.parent)


__all__ = ["Outcome", "Refused", "SetupFailed", "Wish", "absent", "present"]
