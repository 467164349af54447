# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting profiles on the host and taking them away: all of a list or none of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine import unit
from ..engine.flags import parse_command_line
from ..engine.instance import ROOTFUL, Instance, find_instance, find_instance_by_uid
from ..engine.processes import list_dockerds
from ..host import state
from ..host.files import fsync_folder, sha256, write_atomically
from ..host.root import STATE_DIR, Host
from .check import find_profile_problems

SUBJECT = "seccomp"
REPLACED = f"{STATE_DIR}/seccomp-replaced"
MODE = 0o644  # `docker run --security-opt seccomp=FILE` reads the file as the user who calls it


class SeccompInstallError(ValueError):
    """Nothing was changed; `problems` holds one sentence for each reason."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__(" ".join(sentences))
        self.problems = sentences


@dataclass
class SeccompStep:
    """One file and what is to be done with it; `reason` is empty when nothing is. before and after: its text, None without a file."""

    name: str
    path: str
    reason: str
    before: str | None
    after: str | None
    foreign: bool = False
    postponed: bool = False


def plan_seccomp_steps(host: Host, profiles: Sequence[Mapping[str, Any]], directory: str) -> list[SeccompStep]:
    """What the list comes to on this host. Raises SeccompInstallError, and ValueError for a damaged memory."""
    managed = state.load(host, SUBJECT).get("profiles", {})
    steps, blockers, seen = [], [], set()
    for at, profile in enumerate(profiles):
        name = profile["name"]
        path = profile.get("path") or f"{directory.rstrip('/')}/{name}.json"
        if "/" in name or name.startswith(".") or not name:
            blockers.append(
                f"profiles[{at}].name: {name!r} is no name of a file; write one without a slash that does not begin with a dot."
            )
            continue
        if path in seen:
            blockers.append(f"profiles[{at}].name: {name} is listed twice; write each profile once.")
        seen.add(path)
        if profile["state"] == "present":
            blockers += find_profile_problems(profile["content"], path, bool(profile.get("permissive")))
        try:
            step = _plan_step(host, profile, path, path in managed)
        except OSError as error:
            blockers.append(f"{path}: can't be read ({error.strerror}); see what it is and move it away.")
            continue
        if step.foreign and step.reason and not profile["force"]:
            blockers.append(f"{path}: is not ours and {step.reason}; choose another name, or write force: true (a copy is then kept).")
        steps.append(step)
    if blockers:
        raise SeccompInstallError(blockers)
    return steps


def _plan_step(host: Host, profile: Mapping[str, Any], path: str, ours: bool) -> SeccompStep:
    before = host.read(path)
    foreign = before is not None and not ours
    if profile["state"] == "absent":
        reason = "would be removed" if before is not None else ("is gone already" if ours else "")
        return SeccompStep(profile["name"], path, reason, before, None, foreign, bool(reason) and is_named_by_engine(host, path))
    after = profile["content"]
    reason = ""
    if before is None:
        reason = "is new"
    elif sha256(before) != sha256(after):
        reason = "says something else"
    elif _has_loose_permissions(host.path(path)):
        reason = "can be written by others than root"
    return SeccompStep(profile["name"], path, reason, before, after, foreign)


def _has_loose_permissions(path: Path) -> bool:
    status = path.stat()
    return bool(status.st_mode & 0o022) or status.st_uid != 0


def is_named_by_engine(host: Host, path: str) -> bool:
    """Whether an engine would miss the file at its next start: its daemon.json, or a flag of its dockerd's, names it.

    The rootful engine, and the rootless ones that run or are remembered here; what a user has is read with that user's rights, and may
    name the file where it can't be read.
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


def _needs_file(host: Host, instance: Instance, path: str, running: Sequence[Mapping[str, Any]]) -> bool:
    try:
        argvs = [unit.read_unit(host, instance).argv, *(daemon["argv"] for daemon in running if instance.owns_process(daemon))]
        flags = [parse_command_line(argv) for argv in argvs]
        configs = {instance.config, *(found["config-file"] for found in flags if "config-file" in found)}
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
    """Do it, and remember it. When one file fails, those before it are put back. Raises OSError, BlockingIOError."""
    todo = [step for step in steps if step.reason and not step.postponed]
    if not todo:
        return
    with state.lock_host(host):
        memory = state.load(host, SUBJECT)
        managed = dict(memory.get("profiles", {}))
        # Remembered first: a file that is remembered and missing harms nobody, one that is there and not remembered stays for ever.
        for step in todo:
            if step.after is not None:
                managed[step.path] = _describe_memory(host, step, managed.get(step.path, {}))
        _save(host, memory, managed)
        done: list[SeccompStep] = []
        try:
            for step in todo:
                done.append(step)
                _apply_step(host, step, managed)
        except OSError:
            for step in reversed(done):
                _write_file(host, step.path, step.before)
            state.save(host, SUBJECT, memory)
            raise
        _save(host, memory, managed)


def _save(host: Host, memory: dict[str, Any], managed: dict[str, Any]) -> None:
    state.save(host, SUBJECT, {**memory, "profiles": managed} if managed else {})


def _describe_memory(host: Host, step: SeccompStep, before: dict[str, Any]) -> dict[str, Any]:
    kept = _keep_replaced(host, step) if step.foreign and step.before is not None else before.get("replaced")
    made = before.get("made_folder") or not host.path(step.path).parent.exists()
    return {"sha256": sha256(step.after or ""), **({"replaced": kept} if kept else {}), **({"made_folder": True} if made else {})}


def _apply_step(host: Host, step: SeccompStep, managed: dict[str, Any]) -> None:
    if step.after is None:
        remembered = managed.pop(step.path, {})
        _write_file(host, step.path, _read_replaced(host, remembered.get("replaced")))
        if remembered.get("made_folder"):
            with suppress(OSError):  # others have files there
                host.path(step.path).parent.rmdir()
        return
    host.path(step.path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _write_file(host, step.path, step.after)


def _write_file(host: Host, path: str, text: str | None) -> None:
    """Make the file say `text`, owned by root and writable by nobody else; None removes it."""
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


def _keep_replaced(host: Host, step: SeccompStep) -> str:
    """Keep a foreign file's text aside; returns where."""
    folder = host.path(REPLACED)
    state.ensure_folder(host)
    folder.mkdir(mode=0o700, exist_ok=True)
    name = f"{step.path.strip('/').replace('/', '_')}"
    owner = folder.stat()
    write_atomically(folder / name, step.before or "", 0o600, (owner.st_uid, owner.st_gid))
    return f"{REPLACED}/{name}"


def _read_replaced(host: Host, path: str | None) -> str | None:
    """What stood in a file's place before ours, so that it can come back."""
    return host.read(path) if path else None
