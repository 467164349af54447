# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs and removes the AppArmor profiles of a list: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..host.files import fsync_folder, write_atomically
from ..host.root import APPARMOR, Host, load_managed_profiles, sha256
from ..profiles.managed import keep_replaced_file, read_replaced_file, save_managed_profiles
from . import changes, policy, sources
from .parser import Parser, PolicyError

_CACHE = "/var/cache/apparmor"


class AppArmorConflict(Exception):
    """The request would change something unmanaged or in use."""


@dataclass(frozen=True)
class AppArmorRequest:
    """The desired state of one profile. force: also replace or remove an unmanaged profile, or one in use."""

    name: str
    content: str = ""
    mode: str = "enforce"
    present: bool = True
    force: bool = False

    @property
    def path(self) -> str:
        return f"{sources.FOLDER}/{self.name}"


@dataclass
class AppArmorStep:
    """A request and the state of the host. reasons: why the profile has to change; empty if it does not."""

    request: AppArmorRequest
    before: str | None
    observed: dict[str, Any]
    reasons: list[str] = field(default_factory=list)


def plan_apparmor_step(host: Host, parser: Parser | None, request: AppArmorRequest, managed: Mapping[str, Any]) -> AppArmorStep:
    """Compare a request with the host; `managed` from `load_managed_profiles`. Raises AppArmorConflict, PolicyError, OSError."""
    before = host.read(request.path)
    kernel = policy.read_profile(host, request.name) if policy.is_enabled(host) else None
    observed = {
        "sha256": None if before is None else sha256(before),
        "links": sources.read_links(host).get(request.name, []),
        "mode": kernel["mode"] if kernel else None,
        "current": None,
        "is_managed": request.name in managed if not request.present else "sha256" in managed.get(request.name, {}),
    }
    step = AppArmorStep(request, before, observed)
    unmanaged = not observed["is_managed"] and not request.force
    if request.present:
        if unmanaged and before is not None and before != request.content:
            raise AppArmorConflict(
                f"{request.path}: is unmanaged and has another text; choose another name, or set force: true (a copy is then kept)"
            )
        if unmanaged and before is None and kernel:
            raise AppArmorConflict(
                f"profile {request.name}: is loaded, but not from {request.path}; choose another name, or set force: true"
            )
        if parser is None:
            raise AppArmorConflict("/usr/sbin/apparmor_parser: does not exist; install the package apparmor")
        if before == request.content and kernel:
            observed["current"] = policy.is_same_policy(kernel["hashes"], parser.compile(str(host.path(request.path))))
        step.reasons = changes.list_differences(observed, sha256(request.content), request.mode)
        if observed["sha256"] != sha256(request.content) or not observed["is_managed"]:
            parser.check(request.name, request.content)
        return step
    if before is None and kernel is None and not observed["is_managed"]:
        return step
    if unmanaged:
        raise AppArmorConflict(f"{request.path}: is unmanaged and not removed; remove it by hand, or set force: true")
    used = policy.find_confined(host, [request.name]).get(request.name) if kernel else None
    if used and not request.force:
        raise AppArmorConflict(
            f"profile {request.name}: is in use by {changes.describe_processes(used)}, which would run unconfined without it; "
            "stop them first, or list it with state: absent and force: true"
        )
    step.reasons = ["is no longer desired"]
    return step


def apply_apparmor_steps(host: Host, parser: Parser | None, steps: Iterable[AppArmorStep]) -> None:
    """Apply the steps and remember the managed profiles. If one fails, restore files, links and the kernel's policy of all.

    Raises PolicyError, OSError; the message names what could not be restored.
    """
    before = load_managed_profiles(host, APPARMOR)
    managed = dict(before)
    done: list[_Snapshot] = []
    inputs = sources.CompileInputs(host)
    try:
        for step in steps:
            done.append(_Snapshot.read(host, step.request.name))
            if step.request.present:
                if parser is None:  # plan_apparmor_step() has raised before
                    raise PolicyError("no apparmor_parser")
                replaced = _keep_unmanaged(host, step, managed.get(step.request.name, {}))
                # Remember first: what an interrupted run wrote is managed, and what it replaced is restored.
                if not step.observed["is_managed"]:
                    managed[step.request.name] = replaced
                    save_managed_profiles(host, APPARMOR, managed)
                managed[step.request.name] = _install(host, parser, step.request, inputs) | replaced
            else:
                _remove(host, parser, step.request.name, managed.pop(step.request.name, {}))
        save_managed_profiles(host, APPARMOR, managed)
    except (PolicyError, OSError) as error:
        lost = [thing for snapshot in reversed(done) for thing in snapshot.restore(host, parser)]
        with suppress(OSError):  # entries that stay in the state file do no harm
            save_managed_profiles(host, APPARMOR, before)
        rest = "; could not be restored: " + "; ".join(lost) if lost else "; all profiles are as before"
        raise PolicyError(f"{error}{rest}") from error


def _install(host: Host, parser: Parser, request: AppArmorRequest, inputs: sources.CompileInputs) -> dict[str, Any]:
    """Write, link and load one profile, and check that the kernel has it. Returns what to remember."""
    file = str(host.path(request.path))
    write_atomically(Path(file), request.content)
    _set_link(host, sources.DISABLE_LINK, request.name, False)
    _set_link(host, sources.COMPLAIN_LINK, request.name, request.mode == "complain")
    parser.load(file)
    compiled = parser.compile(file)
    _remove_stale_children(host, request.name, set(policy.split_compiled(compiled)))
    kernel = policy.read_profile(host, request.name)
    if kernel is None:
        raise PolicyError(f"profile {request.name}: apparmor_parser reported success, but the kernel does not have it")
    modes = policy.read_modes(host)
    for name in kernel["hashes"]:
        mode = modes.get(name, kernel["mode"])
        if not changes.is_desired_mode(mode, request.mode):
            raise PolicyError(
                f"profile {name}: was loaded in {mode} mode, not in {request.mode} mode; correct the flags in its text and in the files "
                f"that it includes, and the options in {sources.PARSER_CONFIGURATION}"
            )
    if policy.is_same_policy(kernel["hashes"], compiled) is False:
        raise PolicyError(f"profile {request.name}: the kernel's policy ({kernel['hash']}) is not what {request.path} compiles to")
    return {"sha256": sha256(request.content), "mode": request.mode, "hashes": kernel["hashes"], "inputs": inputs.digest(request.content)}


def _remove(host: Host, parser: Parser | None, name: str, remembered: Mapping[str, Any]) -> None:
    """Remove a profile, and restore the file that it replaced, with its links. A file that was disabled is not loaded."""
    path = host.path(f"{sources.FOLDER}/{name}")
    replaced = read_replaced_file(host, remembered)
    links = remembered.get("links", []) if replaced is not None else []
    for kind in (sources.COMPLAIN_LINK, sources.DISABLE_LINK):
        _set_link(host, kind, name, kind in links)
    if replaced is not None:
        write_atomically(path, replaced)
    if replaced is not None and sources.DISABLE_LINK not in links:
        if parser:
            parser.load(str(path))
        return
    if policy.is_enabled(host) and policy.read_profile(host, name):
        changes.unload_profile(host, name)
    if replaced is None:
        _unlink(path)
    for cached in host.path(_CACHE).glob(f"*/{name}"):
        _unlink(cached)


def _remove_stale_children(host: Host, name: str, desired: set[str]) -> None:
    """Unload the children of the former text, which loading a profile leaves (Linux security/apparmor/policy.c, __replace_profile)."""
    kernel = policy.read_profile(host, name)
    for child in sorted(set(kernel["hashes"]) - desired - {name}, reverse=True) if kernel else []:
        changes.unload_profile(host, child)


def _keep_unmanaged(host: Host, step: AppArmorStep, remembered: Mapping[str, Any]) -> dict[str, Any]:
    """Keep an unmanaged file and the names of its links before it is replaced (`force`); `_remove` restores them."""
    if step.observed["is_managed"] or step.before is None or step.before == step.request.content:
        return {key: remembered[key] for key in ("replaced", "links") if remembered.get(key)}
    copy = keep_replaced_file(host, APPARMOR, step.request.name, step.before)
    return {"replaced": copy, "links": step.observed["links"]}


def _set_link(host: Host, kind: str, name: str, desired: bool) -> None:
    """Set or remove a link that changes how the parser loads the file, as aa-complain and aa-disable do."""
    path = host.path(f"{sources.FOLDER}/{kind}/{name}")
    if desired and not os.path.lexists(path):
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(f"{sources.FOLDER}/{name}")
        fsync_folder(path.parent)
    elif not desired:
        _unlink(path)


def _unlink(path: Path) -> None:
    if os.path.lexists(path):
        path.unlink()
        fsync_folder(path.parent)


@dataclass
class _Snapshot:
    """A profile before a change: its file, its links and the kernel's policy."""

    name: str
    text: str | None
    links: list[str]
    kernel: list[bytes]
    names: set[str]

    @classmethod
    def read(cls, host: Host, name: str) -> _Snapshot:
        kernel = policy.read_profile(host, name) if policy.is_enabled(host) else None
        data, names = (changes.read_raw_data(host, name), set(kernel["hashes"])) if kernel else ([], set())
        return cls(name, host.read(f"{sources.FOLDER}/{name}"), sources.read_links(host).get(name, []), data, names)

    def restore(self, host: Host, parser: Parser | None) -> list[str]:
        """Restore the profile. Returns what could not be restored."""
        lost = []
        path = host.path(f"{sources.FOLDER}/{self.name}")
        try:
            if self.text is None:
                _unlink(path)
            else:
                write_atomically(path, self.text)
            for kind in (sources.COMPLAIN_LINK, sources.DISABLE_LINK):
                _set_link(host, kind, self.name, kind in self.links)
            for cached in host.path(_CACHE).glob(f"*/{self.name}"):
                _unlink(cached)  # compiled from the text that was just replaced
        except OSError as error:
            lost.append(f"{path} ({error})")
        try:
            if self.names and not (self.kernel and parser):
                lost.append(f"the kernel's policy {self.name} (the kernel gives no copy of it)")
            elif self.names and parser:
                for data in self.kernel:
                    parser.load_compiled(self.name, data)
                _remove_stale_children(host, self.name, self.names)
            elif policy.is_enabled(host) and policy.read_profile(host, self.name):
                changes.unload_profile(host, self.name)
        except (PolicyError, OSError) as error:
            lost.append(f"the kernel's policy {self.name} ({error})")
        return lost
