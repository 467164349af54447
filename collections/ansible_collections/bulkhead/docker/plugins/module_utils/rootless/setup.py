# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets up a user's rootless engine on a host, and removes it.

Each managed file is remembered before it is written, so that the next run finds everything that an interrupted run left. Module daemon_config
starts the engine, once its configuration is written.
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
from ..engine.instance import Instance, find_instance
from ..engine.service import EngineService
from ..engine.systemctl import systemctl
from ..engine_config import engine_restart
from ..engine_config.change import ConfigFailed, change_config
from ..engine_config.request import ConfigRequest
from ..host import state
from ..host.files import fsync_folder, write_atomically
from ..host.root import Host
from ..subid.apply import apply_ranges
from ..subid.decide import UserRequest
from . import client_context, managed_files, names, ports, rootful, stopped
from .names import RANGES, SUBJECT, read_context, read_file_state
from .outcome import SetupFailed, SetupOutcome

Run = Callable[[list[str]], tuple[int, str, str]]


@dataclass
class RootlessRequest:
    """The requested engine. The fields are the options of module rootless_engine."""

    user: str
    ranges: UserRequest
    files: list[managed_files.ManagedFile] = field(default_factory=list)
    disable_rootful: bool = True
    stop_containers: bool = False
    timeout: float = 300


def set_up_engine(host: Host, request: RootlessRequest, check: bool, run: Run) -> SetupOutcome:
    """Set up the engine, or with `check` return what would change.

    Raises SetupFailed, SubidError, OSError, ValueError, ServiceError, and BlockingIOError during another run.
    """
    outcome = SetupOutcome(instance=find_instance(host, request.user))
    if check:
        _plan_setup(host, request, outcome, run)
        return outcome
    with state.lock_host(host):
        known = state.load(host, SUBJECT) or {"user": request.user, "files": [], "linger": False, "created": False}
        if known["user"] != request.user:
            raise SetupFailed(f"user: this host has the engine of {known['user']}; remove it first (state: absent)")
        if outcome.instance.uid is None:
            known["created"] = True
            state.save(host, SUBJECT, known)
            _create_user(request.user, run)
            outcome.add_step(f"user {request.user} created")
            outcome.instance = find_instance(host, request.user)
    ranges = apply_ranges(host, [request.ranges], RANGES, False, run)  # takes its own lock
    if ranges.changed:
        outcome.add_step("subordinate ranges allocated")
    before = stopped.merge_stopped(known, _read_running_engine(host, outcome.instance, request))
    known.setdefault("ran", before.running)
    with state.lock_host(host):
        step = (
            rootful.stop_rootful(host, known, request.stop_containers, request.timeout)
            if request.disable_rootful
            else rootful.restore_rootful(known, request.timeout, outcome.warnings)
        )
        if step:
            outcome.add_step(step)
        manager_files, unit_files = _split_files(request, outcome.instance)
        if _write_files(host, manager_files, known, outcome):
            systemctl("daemon-reload", timeout=request.timeout)
        _load_modules(host, manager_files, known, outcome, run)
        _prepare_manager(host, request, known, before, outcome)
        changed = _write_files(host, unit_files, known, outcome)
        if changed:
            systemctl("daemon-reload", timeout=request.timeout, instance=outcome.instance)
        _remove_unneeded_files(host, request, known, outcome)
        _create_client_context(host, known, outcome)
        state.save(host, SUBJECT, known)
        _restart_engine(host, request, known, before, names.UNIT in changed, outcome)
    return outcome


def remove_engine(host: Host, user: str, stop_containers: bool, timeout: float, check: bool) -> SetupOutcome:
    """Remove what Bulkhead set up. The user, images, containers and volumes stay. Raises as `set_up_engine`."""
    known = state.load(host, SUBJECT)
    outcome = SetupOutcome(instance=find_instance(host, known.get("user") or user))
    if not known:
        return outcome
    instance, before = outcome.instance, engine_restart.EngineSnapshot()
    outcome.changed = True
    if check:
        outcome.add_step(f"rootless engine of {instance.user} removed")
        return outcome
    if instance.uid is not None:
        running = list_container_ids(host, instance)
        if running and not stop_containers:
            raise SetupFailed(
                f"{len(running)} containers run in the engine of {instance.user}; stop them first, or write stop_containers: true"
            )
        before = _stop_engine(host, known, instance, timeout, outcome)
    with state.lock_host(host):
        ports.restore_first_port(host, known)
        for path in [*known.get("files", [])]:
            if os.path.lexists(host.path(path)):
                if path == names.ROOTLESSKIT and _is_profile_loaded(host):
                    _run_command(["apparmor_parser", "--remove", path])
                host.path(path).unlink()
                _remove_empty_folders(host.path(path).parent)
                outcome.add_step(f"{path} removed")
        if instance.uid is not None:
            with suppress(OSError, ValueError):
                client_context.remove_context(instance.scope_host(host), instance, known.get("context", []))
            if os.path.exists(f"{instance.runtime_dir}/bus"):
                systemctl("daemon-reload", timeout=timeout, instance=instance)
        systemctl("daemon-reload", timeout=timeout)
        if known.get("linger") and instance.uid is not None:
            _run_command(["loginctl", "disable-linger", instance.user])
            outcome.add_step(f"{instance.user} no longer lingers")
        step = rootful.restore_rootful(known, timeout, outcome.warnings)
        if step:
            outcome.add_step(step)
        try:
            if known.get("ran"):
                _start_user_unit(before, instance, timeout, outcome)
        finally:  # after an interruption here the next run has nothing to restore
            state.save(host, SUBJECT, {})
    return outcome


def _plan_setup(host: Host, request: RootlessRequest, outcome: SetupOutcome, run: Run) -> None:
    present = {file.path: read_file_state(host, file.path) for file in _insert_uid(request.files, outcome.instance)}
    for file in managed_files.list_differing(_insert_uid(request.files, outcome.instance), present):
        outcome.add_step(f"{file.path} written")
    if any(file.path == names.ROOTLESSKIT for file in request.files) and not _is_profile_loaded(host):
        outcome.add_step(f"profile {names.PROFILE} loaded")
    interrupted = stopped.list_stopped(state.load(host, SUBJECT))
    if interrupted:
        outcome.add_step(f"started again: {', '.join(interrupted)}")
    if outcome.instance.uid is None:
        outcome.add_step(f"user {request.user} created")
    elif apply_ranges(host, [request.ranges], RANGES, True, run).changed:
        outcome.add_step("subordinate ranges allocated")


def _create_user(user: str, run: Run) -> None:
    """Create a system user with a home for the engine's data, and a shell. For other users useradd assigns subordinate ranges itself."""
    code, out, err = run(
        ["useradd", "--system", "--user-group", "--create-home", "--home-dir", f"/home/{user}", "--shell", "/bin/bash", user]
    )
    if code:
        raise SetupFailed(f"useradd {user}: {(err or out).strip() or f'exit status {code}'}")
    os.chmod(f"/home/{user}", 0o700)


def _insert_uid(files: list[managed_files.ManagedFile], instance: Instance) -> list[managed_files.ManagedFile]:
    """Return the files with the user's ID in their paths: the plan was made before the user existed."""
    unknown, known = names.build_delegation_path(None), names.build_delegation_path(instance.uid)
    return [managed_files.ManagedFile(known if file.path == unknown else file.path, file.content, file.mode, file.link) for file in files]


def _split_files(request: RootlessRequest, instance: Instance) -> tuple[list[managed_files.ManagedFile], list[managed_files.ManagedFile]]:
    """Return the files that the user's manager needs at its start, and the unit's files, with which it would start the engine at once."""
    files = _insert_uid(request.files, instance)
    late = (names.UNIT, names.ENABLED)
    return [file for file in files if file.path not in late], [file for file in files if file.path in late]


def _write_files(host: Host, files: list[managed_files.ManagedFile], known: dict[str, Any], outcome: SetupOutcome) -> list[str]:
    """Write the files that differ, after remembering them. Returns their paths. Raises SetupFailed for an unmanaged file."""
    present = {file.path: read_file_state(host, file.path) for file in files}
    differing = managed_files.list_differing(files, present)
    unmanaged = [file.path for file in differing if present[file.path] and file.path not in known["files"]]
    if unmanaged:
        raise SetupFailed(f"{', '.join(unmanaged)}: has other content and is not managed by Bulkhead; move it away")
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
        outcome.add_step(f"{file.path} written")
    return [file.path for file in differing]


def _load_modules(host: Host, files: list[managed_files.ManagedFile], known: dict[str, Any], outcome: SetupOutcome, run: Run) -> None:
    """Load kernel modules, ports and profile now, as every boot does. The engine reports a module that it needs and lacks. Raises OSError."""
    written, desired = " ".join(outcome.steps), {file.path for file in files}
    if names.MODULES in desired:
        run(["modprobe", "--all", "--quiet", "br_netfilter", "ip_tables"])
    opened = ports.set_first_port(host, next((file.content for file in files if file.path == names.PORTS), ""), known, run)
    if opened:
        outcome.add_step(opened)
    if (names.ROOTLESSKIT in desired and not _is_profile_loaded(host)) or names.ROOTLESSKIT in written:
        code, out, err = run(["apparmor_parser", "--replace", names.ROOTLESSKIT])
        if code:
            raise SetupFailed(f"apparmor_parser: {(err or out).strip()}")
        outcome.add_step(f"profile {names.PROFILE} loaded")


def _is_profile_loaded(host: Host) -> bool:
    """Return whether the kernel has rootlesskit's profile; an interrupted run may have only written the file. Raises OSError."""
    return names.PROFILE in policy.read_modes(host)


def _prepare_manager(
    host: Host, request: RootlessRequest, known: dict[str, Any], before: engine_restart.EngineSnapshot, outcome: SetupOutcome
) -> None:
    """Make the user's service manager run from boot on, with all controllers delegated."""
    instance = outcome.instance
    if not host.path(names.build_linger_path(instance.user)).exists():
        known["linger"] = True
        state.save(host, SUBJECT, known)
        _run_command(["loginctl", "enable-linger", instance.user])
        outcome.add_step(f"{instance.user} lingers")
    _wait_for(
        f"{instance.runtime_dir}/bus",
        request.timeout,
        f"the service manager of {instance.user} did not start; see journalctl -u user@{instance.uid}",
    )
    delegated = (host.read(f"{instance.manager_cgroup}/cgroup.controllers") or "").split()
    if set(names.CONTROLLERS) - set(delegated):
        if list_container_ids(host, instance) and not request.stop_containers:
            raise SetupFailed(
                f"the manager of {instance.user} has to be restarted to get {', '.join(sorted(set(names.CONTROLLERS) - set(delegated)))},"
                " and containers run below it; stop them first, or write stop_containers: true"
            )
        stopped.save_stopped(host, known, before)
        with suppress(EngineError, EngineUnreachable):
            engine_restart.stop_containers(Engine.for_instance(instance, request.timeout), before.containers)
        systemctl("daemon-reload", timeout=request.timeout)  # a drop-in that was removed is otherwise still in effect
        systemctl("restart", f"user@{instance.uid}.service", timeout=request.timeout)
        _wait_for(f"{instance.runtime_dir}/bus", request.timeout, f"the service manager of {instance.user} did not start again")
        delegated = (host.read(f"{instance.manager_cgroup}/cgroup.controllers") or "").split()
        lacking = sorted(set(names.CONTROLLERS) - set(delegated))
        if lacking:
            raise SetupFailed(
                f"the manager of {instance.user} does not get {', '.join(lacking)}: see the drop-ins that `systemctl cat user@{instance.uid}`"
                " shows, and whether the kernel has these controllers (/sys/fs/cgroup/cgroup.controllers)"
            )
        outcome.add_step(f"manager of {instance.user} restarted")


def _remove_unneeded_files(host: Host, request: RootlessRequest, known: dict[str, Any], outcome: SetupOutcome) -> None:
    """Remove the files that an earlier run needed and this one does not."""
    desired = {file.path for file in _insert_uid(request.files, outcome.instance)}
    for path in sorted(set(known["files"]) - desired):
        if path == names.PORTS:
            ports.restore_first_port(host, known)
        if os.path.lexists(host.path(path)):
            host.path(path).unlink()
            outcome.add_step(f"{path} removed")
        known["files"].remove(path)


def _create_client_context(host: Host, known: dict[str, Any], outcome: SetupOutcome) -> None:
    instance = outcome.instance
    present = read_context(instance.scope_host(host), instance)
    if present["error"]:
        raise SetupFailed(present["error"])
    if client_context.is_incomplete(present):
        created = client_context.create_context(instance.scope_host(host), instance)
        known["context"] = sorted({*known.get("context", []), *created})
        outcome.add_step("docker context rootless created")


def _read_running_engine(host: Host, instance: Instance, request: RootlessRequest) -> engine_restart.EngineSnapshot:
    """Return the engine and its running containers before any change."""
    if instance.uid is None or not os.path.exists(f"{instance.runtime_dir}/bus") or not EngineService(instance).read_state().running:
        return engine_restart.EngineSnapshot()
    return engine_restart.take_snapshot(host, Engine.for_instance(instance, request.timeout))


def _restart_engine(
    host: Host,
    request: RootlessRequest,
    known: dict[str, Any],
    before: engine_restart.EngineSnapshot,
    unit_changed: bool,
    outcome: SetupOutcome,
) -> None:
    """Restart an engine that ran, with its containers, after a change of its unit or a restart of its manager."""
    instance = outcome.instance
    service, engine = EngineService(instance), Engine.for_instance(instance, request.timeout)
    if not before.running:
        return
    if unit_changed or not service.read_state().running:
        stopped.save_stopped(host, known, before)
        service.restart(request.timeout)
        if not engine_restart.wait_for_engine(engine, request.timeout):
            raise SetupFailed(f"the engine of {instance.user} does not answer after its restart")
        outcome.add_step("engine restarted")
    elif not stopped.list_stopped(known):
        return
    result = engine_restart.restart_containers(engine, before.containers, request.timeout)
    if result.started:
        outcome.add_step(f"started again: {', '.join(result.started)}")
    stopped.clear_stopped(host, known)
    failed = result.failed
    if failed:
        raise SetupFailed("; ".join(f"container {name} does not start again: {reason}" for name, reason in failed.items()))


def _start_user_unit(before: engine_restart.EngineSnapshot, instance: Instance, timeout: float, outcome: SetupOutcome) -> None:
    """Start the engine that the user ran by a unit of their own before."""
    service, engine = EngineService(instance), Engine.for_instance(instance, timeout)
    if not service.read_state().loaded:
        return
    service.restart(timeout)
    if not engine_restart.wait_for_engine(engine, timeout):
        raise SetupFailed(f"the engine of {instance.user} does not answer after its restart by its own unit")
    outcome.add_step(f"engine of {instance.user} started by its own unit")
    for name, reason in engine_restart.restart_containers(engine, before.containers, timeout).failed.items():
        outcome.warnings.append(f"container {name} of {instance.user} ran before, and does not start again: {reason}")


def _stop_engine(
    host: Host, known: dict[str, Any], instance: Instance, timeout: float, outcome: SetupOutcome
) -> engine_restart.EngineSnapshot:
    """Stop the containers, then the engine, and remove the managed keys from its configuration. Returns what ran."""
    before = stopped.merge_stopped(known, engine_restart.EngineSnapshot())
    if not os.path.exists(f"{instance.runtime_dir}/bus"):
        return before
    service, engine = EngineService(instance), Engine.for_instance(instance, timeout)
    if service.read_state().running:
        before = stopped.merge_stopped(known, engine_restart.take_snapshot(host, engine))
        with state.lock_host(host):
            stopped.save_stopped(host, known, before)
        with suppress(EngineError, EngineUnreachable):
            engine_restart.stop_containers(engine, before.containers)
        service.stop(timeout)
        outcome.add_step(f"engine of {instance.user} stopped")
    try:
        result = change_config(host, engine, ConfigRequest(options={}, instance=instance, pids_limit=0, own_checks=False, timeout=timeout))
    except ConfigFailed as error:
        raise SetupFailed(str(error)) from error
    if result.changed:
        outcome.add_step(f"{instance.config} restored")
    return before


def _run_command(command: list[str]) -> None:
    import subprocess

    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if run.returncode:
        raise SetupFailed(f"{' '.join(command)}: {run.stderr.strip() or f'exit status {run.returncode}'}")


def _wait_for(path: str, timeout: float, otherwise: str) -> None:
    deadline = time.monotonic() + timeout
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise SetupFailed(f"{otherwise} ({path} does not exist after {timeout:.0f} s)")
        time.sleep(0.2)


def _remove_empty_folders(folder: Path) -> None:
    """Remove managed folders that are empty now. System folders are never empty or cannot be removed."""
    if folder.name.endswith((".d", ".wants", "bulkhead", "rootless")):
        with suppress(OSError):
            folder.rmdir()
            _remove_empty_folders(folder.parent)
