# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs and removes the seccomp profiles of a list: all of them, or none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine import configuration, unit
from ..engine.instance import ROOTFUL, Instance, find_instance
from ..engine.processes import list_dockerds
from ..host import state
from ..host.files import fsync_folder, write_atomically
from ..host.root import SECCOMP, STATE_DIR, Host, load_managed_profiles, sha256
from ..profiles.managed import keep_replaced_file, read_replaced_file, save_managed_profiles
from .check import find_profile_problems

MODE = 0o644  # modules/seccomp_profile.py says why


class SeccompInstallError(ValueError):
    """The list cannot be applied and nothing was changed. `problems` has one message per reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass
class SeccompStep:
    """A file and why it has to change; `reason` is empty if it does not. before and after: its text, None without a file."""

    name: str
    path: str
    reason: str
    before: str | None
    after: str | None
    unmanaged: bool = False
    postponed: bool = False


def plan_seccomp_steps(host: Host, profiles: Sequence[Mapping[str, Any]], directory: str) -> list[SeccompStep]:
    """Return a step per profile of the list. Raises SeccompInstallError, and ValueError for a damaged state file."""
    managed = load_managed_profiles(host, SECCOMP)
    steps, blockers, paths = [], [], set()
    for index, profile in enumerate(profiles):
        name = profile["name"]
        path = profile.get("path") or f"{directory.rstrip('/')}/{name}.json"
        if "/" in name or name.startswith(".") or not name:
            blockers.append(
                f"profiles[{index}].name: {name!r} is not a file name; write one without a slash that does not begin with a dot"
            )
            continue
        if path in paths:
            blockers.append(f"profiles[{index}].name: {name} is listed twice; write each profile once")
        paths.add(path)
        if profile["state"] == "present":
            blockers += find_profile_problems(profile["content"], path, bool(profile.get("permissive")))
        try:
            step = _plan_step(host, profile, path, path in managed)
        except OSError as error:
            blockers.append(f"{path}: cannot be read ({error.strerror}); move it to another place")
            continue
        if step.unmanaged and step.reason and not profile["force"]:
            blockers.append(f"{path}: is unmanaged and {step.reason}; choose another name, or write force: true (a copy is then kept)")
        steps.append(step)
    if blockers:
        raise SeccompInstallError(blockers)
    return steps


def _plan_step(host: Host, profile: Mapping[str, Any], path: str, is_managed: bool) -> SeccompStep:
    before = host.read(path)
    unmanaged = before is not None and not is_managed
    if profile["state"] == "absent":
        reason = "would be removed" if before is not None else ("is missing already" if is_managed else "")
        return SeccompStep(profile["name"], path, reason, before, None, unmanaged, bool(reason) and is_named_by_engine(host, path))
    after = profile["content"]
    reason = ""
    if before is None:
        reason = "is new"
    elif sha256(before) != sha256(after):
        reason = "has another text"
    elif _has_loose_permissions(host.path(path)):
        reason = "is writable by users other than root"
    return SeccompStep(profile["name"], path, reason, before, after, unmanaged)


def _has_loose_permissions(path: Path) -> bool:
    status = path.stat()
    return bool(status.st_mode & 0o022) or status.st_uid != 0


def is_named_by_engine(host: Host, path: str) -> bool:
    """Return whether an engine needs the file at its next start: its daemon.json, or a flag of its dockerd, names it.

    This covers the rootful engine and the rootless ones that run or are remembered. A user's files are read with that user's rights; an
    unreadable one counts as naming the file.
    """
    running = list_dockerds(host)
    return any(
        _needs_file(instance.scope_host(host), instance, path, running) for instance in (ROOTFUL, *_list_rootless_engines(host, running))
    )


def _list_rootless_engines(host: Host, running: Sequence[Mapping[str, Any]]) -> list[Instance]:
    remembered = [entry.stem.removeprefix("daemon-") for entry in host.path(STATE_DIR).glob("daemon-*.json")]
    instances = [find_instance(host, user) for user in remembered] + [
        find_instance_by_uid(host, daemon["uid"]) for daemon in running if daemon["rootless"]
    ]
    return [instance for instance in dict.fromkeys(instances) if instance and instance.owner]


def find_instance_by_uid(host: Host, uid: int) -> Instance | None:
    """Return the rootless engine of the user with this ID; None when no such user exists."""
    if host.root == Host().root:
        import pwd

        try:
            return find_instance(host, pwd.getpwuid(uid).pw_name)
        except KeyError:
            return None
    lines = [line.split(":") for line in (host.read("/etc/passwd") or "").splitlines()]
    return next((find_instance(host, fields[0]) for fields in lines if fields[2:3] == [str(uid)]), None)


def _needs_file(host: Host, instance: Instance, path: str, running: Sequence[Mapping[str, Any]]) -> bool:
    try:
        docker_unit = unit.read_unit(host, instance)
        processes = [None, *(daemon for daemon in running if instance.owns_process(daemon))]
        flags = [configuration.describe_command(docker_unit, process)["flags"] for process in processes]
        used = (
            configuration.find_daemon_json(host, instance, *each) for each in zip(flags, [docker_unit] * len(flags), processes, strict=True)
        )
        configs = {instance.config, *used}
        texts = [host.read(config, user=instance.owner) or "" for config in configs]
    except (OSError, ValueError):
        if not instance.rootless:
            raise
        return True
    return any(found.get("seccomp-profile") == path for found in flags) or any(_has_profile_path(text, path) for text in texts)


def _has_profile_path(text: str, path: str) -> bool:
    try:
        content = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return path in text
    return isinstance(content, dict) and content.get("seccomp-profile") == path


def apply_seccomp_steps(host: Host, steps: Sequence[SeccompStep]) -> None:
    """Apply the steps and remember the managed files. If one file fails, restore those before it. Raises OSError, BlockingIOError."""
    todo = [step for step in steps if step.reason and not step.postponed]
    if not todo:
        return
    with state.lock_host(host):
        before = load_managed_profiles(host, SECCOMP)
        managed = dict(before)
        # Remember first: a missing file that is remembered does no harm, but a file that is not remembered would never be removed.
        for step in todo:
            if step.after is not None:
                managed[step.path] = _describe_managed(host, step, managed.get(step.path, {}))
        save_managed_profiles(host, SECCOMP, managed)
        done: list[SeccompStep] = []
        try:
            for step in todo:
                done.append(step)
                _apply_step(host, step, managed)
        except OSError:
            for step in reversed(done):
                _write_file(host, step.path, step.before)
            save_managed_profiles(host, SECCOMP, before)
            raise
        save_managed_profiles(host, SECCOMP, managed)


def _describe_managed(host: Host, step: SeccompStep, remembered: Mapping[str, Any]) -> dict[str, Any]:
    copy = remembered.get("replaced")
    if step.unmanaged and step.before is not None:
        copy = keep_replaced_file(host, SECCOMP, step.path.strip("/").replace("/", "_"), step.before)
    is_new_folder = remembered.get("made_folder") or not host.path(step.path).parent.exists()
    return {"sha256": sha256(step.after or ""), **({"replaced": copy} if copy else {}), **({"made_folder": True} if is_new_folder else {})}


def _apply_step(host: Host, step: SeccompStep, managed: dict[str, Any]) -> None:
    if step.after is None:
        remembered = managed.pop(step.path, {})
        _write_file(host, step.path, read_replaced_file(host, remembered))
        if remembered.get("made_folder"):
            with suppress(OSError):  # the folder has other files
                host.path(step.path).parent.rmdir()
        return
    host.path(step.path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _write_file(host, step.path, step.after)


def _write_file(host: Host, path: str, text: str | None) -> None:
    """Write the file, owned by root and writable by root alone; None removes it."""
    target = host.path(path)
    if text is None:
        target.unlink(missing_ok=True)
        if target.parent.is_dir():
            fsync_folder(target.parent)
        return
    owner = state.ensure_folder(host).stat()  # root, except in tests
    write_atomically(target, text, MODE, (owner.st_uid, owner.st_gid))
    if _has_loose_permissions(target):
        target.chmod(MODE)
        os.chown(target, owner.st_uid, owner.st_gid)
