# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting profiles on a host and taking them off again: all of a list, or none of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..host import state
from ..host.files import fsync_folder, sha256, write_atomically
from ..host.root import STATE_DIR, Host
from . import policy, sources
from .parser import Parser, PolicyError

SUBJECT = "apparmor"
BACKUPS = f"{STATE_DIR}/apparmor-replaced"
_CACHE = "/var/cache/apparmor"


class AppArmorConflict(Exception):
    """What is asked for would harm something that is not ours; the message is one sentence."""


@dataclass(frozen=True)
class AppArmorRequest:
    """A profile that shall be there in this text and mode, or not be there. `force`: also over what is somebody else's, or in use."""

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
    """One entry against the host as it is. `reasons`: why something has to be done; nothing has when it is empty."""

    entry: AppArmorRequest
    before: str | None
    seen: dict[str, Any]
    reasons: list[str] = field(default_factory=list)


def memory(host: Host) -> dict[str, dict[str, Any]]:
    """The profiles that are ours: name → `sha256` of the text, `mode`, `hashes` of the loaded policy, `inputs`, and where we took
    a foreign file's place, `replaced` (where it is kept) and `links` (which it had). One without `sha256` was begun by a run that died.
    Raises ValueError for a damaged file.
    """
    known = state.load(host, SUBJECT).get("profiles", {})
    return dict(known)


def plan_apparmor_step(host: Host, parser: Parser | None, entry: AppArmorRequest, ours: Mapping[str, Any]) -> AppArmorStep:
    """Compare an entry with the host. Raises AppArmorConflict, PolicyError, OSError."""
    before = host.read(entry.path)
    kernel = policy.read_profile(host, entry.name) if policy.is_enabled(host) else None
    seen = {
        "sha256": None if before is None else sha256(before),
        "links": sources.read_links(host).get(entry.name, []),
        "mode": kernel["mode"] if kernel else None,
        "current": None,
        "ours": entry.name in ours if not entry.present else "sha256" in ours.get(entry.name, {}),
    }
    step = AppArmorStep(entry, before, seen)
    foreign = not seen["ours"] and not entry.force
    if entry.present:
        if foreign and before is not None and before != entry.content:
            raise AppArmorConflict(
                f"{entry.path}: is somebody else's and differs; pick another name, or set force: true (the file is then kept aside)"
            )
        if foreign and before is None and kernel:
            raise AppArmorConflict(
                f"profile {entry.name}: is loaded already, and not from {entry.path}; pick another name, or set force: true"
            )
        if parser is None:
            raise AppArmorConflict("/usr/sbin/apparmor_parser: there is none; install the package apparmor")
        if before == entry.content and kernel:
            seen["current"] = policy.is_same_policy(kernel["hashes"], parser.compile(str(host.path(entry.path))))
        step.reasons = sources.list_differences(seen, sha256(entry.content), entry.mode)
        if seen["sha256"] != sha256(entry.content) or not seen["ours"]:
            parser.check(entry.name, entry.content)
        return step
    if before is None and kernel is None and not seen["ours"]:
        return step
    if foreign:
        raise AppArmorConflict(f"{entry.path}: is not ours to remove; remove it by hand, or set force: true")
    used = policy.find_confined(host, [entry.name]).get(entry.name) if kernel else None
    if used and not entry.force:
        raise AppArmorConflict(
            f"profile {entry.name}: is in use by {policy.describe_processes(used)}, which would run unconfined without it; "
            "stop them first, or list it with state: absent and force: true"
        )
    step.reasons = ["is no longer desired"]
    return step


def apply_apparmor_steps(host: Host, parser: Parser | None, steps: Iterable[AppArmorStep]) -> None:
    """Do all steps and remember what is ours; when one fails, put files, links and the kernel's policy back for all of them.

    Raises PolicyError, OSError; then the host is as it was, or the message says what is not.
    """
    before = memory(host)
    ours = dict(before)
    done: list[_Snapshot] = []
    inputs = sources.CompileInputs(host)
    try:
        for step in steps:
            done.append(_Snapshot.take(host, step.entry.name))
            if step.entry.present:
                if parser is None:  # plan_apparmor_step() refuses before it comes to this
                    raise PolicyError("no apparmor_parser")
                replaced = _keep_unmanaged(host, step, ours.get(step.entry.name, {}))
                # Remembered first: what a run that dies has written is ours, and what it has kept aside comes back.
                if not step.seen["ours"]:
                    ours[step.entry.name] = replaced
                    state.save(host, SUBJECT, {"profiles": ours})
                ours[step.entry.name] = _install(host, parser, step.entry, inputs) | replaced
            else:
                _remove(host, parser, step.entry.name, ours.pop(step.entry.name, {}))
        state.save(host, SUBJECT, {"profiles": ours} if ours else {})
    except (PolicyError, OSError) as error:
        lost = [sentence for snapshot in reversed(done) for sentence in snapshot.restore(host, parser)]
        with suppress(OSError):  # what stays remembered of this run is harmless
            state.save(host, SUBJECT, {"profiles": before} if before else {})
        rest = "; and could not be put back: " + "; ".join(lost) if lost else "; all profiles are as they were before"
        raise PolicyError(f"{error}{rest}") from error


def _install(host: Host, parser: Parser, entry: AppArmorRequest, inputs: sources.CompileInputs) -> dict[str, Any]:
    """Write, mark and load one profile, and see that the kernel has it. Returns what to remember."""
    file = str(host.path(entry.path))
    write_atomically(Path(file), entry.content)
    _set_link(host, sources.DISABLE_LINK, entry.name, False)
    _set_link(host, sources.COMPLAIN_LINK, entry.name, entry.mode == "complain")
    parser.load(file)
    compiled = parser.compile(file)
    _remove_stale_children(host, entry.name, set(policy.split_compiled(compiled)))
    kernel = policy.read_profile(host, entry.name)
    if kernel is None:
        raise PolicyError(f"profile {entry.name}: apparmor_parser loaded it without an error, and the kernel does not have it")
    if kernel["mode"] != entry.mode:
        raise PolicyError(
            f"profile {entry.name}: is in {kernel['mode']} mode once loaded, and not in {entry.mode} mode; look at the flags in its text"
        )
    if policy.is_same_policy(kernel["hashes"], compiled) is False:
        raise PolicyError(f"profile {entry.name}: the kernel's policy ({kernel['hash']}) is not what {entry.path} compiles to")
    return {"sha256": sha256(entry.content), "mode": entry.mode, "hashes": kernel["hashes"], "inputs": inputs.digest(entry.content)}


def _remove(host: Host, parser: Parser | None, name: str, known: Mapping[str, Any]) -> None:
    """Take a profile off the host; a foreign file whose place it had comes back, with its links: one that was disabled is not loaded."""
    path = host.path(f"{sources.FOLDER}/{name}")
    replaced = host.read(known["replaced"]) if known.get("replaced") else None
    links = known.get("links", []) if replaced is not None else []
    for kind in (sources.COMPLAIN_LINK, sources.DISABLE_LINK):
        _set_link(host, kind, name, kind in links)
    if replaced is not None:
        write_atomically(path, replaced)
    if replaced is not None and sources.DISABLE_LINK not in links:
        if parser:
            parser.load(str(path))
        return
    if policy.is_enabled(host) and policy.read_profile(host, name):
        policy.unload_profile(host, name)
    if replaced is None:
        _unlink(path)
    for cached in host.path(_CACHE).glob(f"*/{name}"):
        _unlink(cached)


def _remove_stale_children(host: Host, name: str, desired: set[str]) -> None:
    """Loading a profile leaves the children that its former text had (Linux security/apparmor/policy.c, __replace_profile)."""
    kernel = policy.read_profile(host, name)
    for child in sorted(set(kernel["hashes"]) - desired - {name}, reverse=True) if kernel else []:
        policy.unload_profile(host, child)


def _keep_unmanaged(host: Host, step: AppArmorStep, known: Mapping[str, Any]) -> dict[str, Any]:
    """Before a foreign file is overwritten (`force`), keep it and which links it had; `_remove` brings them back."""
    if step.seen["ours"] or step.before is None or step.before == step.entry.content:
        return {key: known[key] for key in ("replaced", "links") if known.get(key)}
    state.ensure_folder(host)
    kept = f"{BACKUPS}/{step.entry.name}"
    host.path(BACKUPS).mkdir(mode=0o700, exist_ok=True)
    write_atomically(host.path(kept), step.before, mode=0o600)
    return {"replaced": kept, "links": step.seen["links"]}


def _set_link(host: Host, kind: str, name: str, desired: bool) -> None:
    """Set or remove the link that `kind` means to the parser; it points to the file, as aa-complain and aa-disable make it."""
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
    """A profile before we touched it: its file, its links, and the kernel's policy, to be put back."""

    name: str
    text: str | None
    links: list[str]
    kernel: list[bytes]
    names: set[str]

    @classmethod
    def take(cls, host: Host, name: str) -> _Snapshot:
        kernel = policy.read_profile(host, name) if policy.is_enabled(host) else None
        data, names = (policy.read_raw_data(host, name), set(kernel["hashes"])) if kernel else ([], set())
        return cls(name, host.read(f"{sources.FOLDER}/{name}"), sources.read_links(host).get(name, []), data, names)

    def restore(self, host: Host, parser: Parser | None) -> list[str]:
        """Returns a sentence for each thing that could not be put back."""
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
                _unlink(cached)  # compiled from what was just taken back
        except OSError as error:
            lost.append(f"{path} ({error})")
        try:
            if self.names and not (self.kernel and parser):
                lost.append(f"the kernel's policy {self.name} (it gives no copy of it)")
            elif self.names and parser:
                for data in self.kernel:
                    parser.load_compiled(self.name, data)
                _remove_stale_children(host, self.name, self.names)
            elif policy.is_enabled(host) and policy.read_profile(host, self.name):
                policy.unload_profile(host, self.name)
        except (PolicyError, OSError) as error:
            lost.append(f"the kernel's policy {self.name} ({error})")
        return lost
