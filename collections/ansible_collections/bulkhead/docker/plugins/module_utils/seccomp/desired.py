# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's list of profiles: checked, composed, and told wrong in sentences that name the variable. Control node only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ..host.files import sha256
from .blocks import BLOCKS, PRESETS
from .check import find_profile_problems
from .compose import ARCHITECTURES, compose_profile, render_profile
from .profile import ACTIONS
from .profile import ARCHITECTURES as KNOWN_ARCHITECTURES
from .syscalls import list_known_names

LIST = "seccomp_profiles_list"
DEFAULT = "seccomp_profiles_daemon_default"
DIRECTORY = "seccomp_profiles_directory"

_COMPOSED = ("extends", "blocks", "allow", "deny", "default_action", "architectures", "log")
_TEXT = ("src", "content")
_KEYS = ("name", *_TEXT, *_COMPOSED, "permissive", "state", "force")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class SeccompProfile:
    """One profile that the inventory names; `text` is empty where it is to be absent."""

    name: str
    path: str
    text: str
    state: str = "present"
    force: bool = False
    log: bool = False
    permissive: bool = False

    @property
    def sha256(self) -> str:
        return sha256(self.text)


@dataclass
class SeccompProfiles:
    """What the inventory wants of profiles; blockers where it is not clear."""

    profiles: list[SeccompProfile] = field(default_factory=list)
    daemon_default: SeccompProfile | None = None
    blockers: list[str] = field(default_factory=list)


def resolve_sources(entries: Sequence[Any], read_file: Callable[[str], str]) -> list[Any]:
    """The entries, those with `src` joined by the file's text as `content`. Raises ValueError for a file that cannot be read."""
    resolved = []
    for at, entry in enumerate(entries):
        if isinstance(entry, Mapping) and isinstance(entry.get("src"), str):
            try:
                entry = {**entry, "content": read_file(entry["src"])}
            except (OSError, UnicodeDecodeError) as error:
                why = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"can't be read ({error.strerror or error})"
                raise ValueError(f"{LIST}[{at}].src: {entry['src']} {why}; name a file on the control node") from error
        resolved.append(entry)
    return resolved


def read_profiles(desired: Mapping[str, Any]) -> SeccompProfiles:
    """Check the variables and compose the profiles."""
    listed = SeccompProfiles()
    directory, entries = desired[DIRECTORY], desired[LIST]
    if not isinstance(directory, str) or not directory.startswith("/"):
        listed.blockers.append(f"{DIRECTORY}: {directory!r} is no absolute path; write for example /etc/docker/seccomp")
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        listed.blockers.append(f"{LIST}: {entries!r} is no list; write a list of profiles, or [] for none")
    if listed.blockers:
        return listed
    seen: dict[str, int] = {}
    for at, given in enumerate(entries):
        where = f"{LIST}[{at}]"
        # An omitted key is null where a playbook passes entries through an argument spec.
        entry = {key: value for key, value in given.items() if value is not None} if isinstance(given, Mapping) else given
        faults = list(_entry_problems(where, entry))
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if isinstance(name, str) and name in seen:
            faults.append(f'{where}.name: "{name}" stands in {LIST}[{seen[name]}] already; write each profile once')
        elif isinstance(name, str):
            seen[name] = at
        if not faults:
            profile = _profile(entry, directory)
            faults = (
                find_profile_problems(profile.text, _told_as(where, entry), bool(entry.get("permissive")))
                if profile.state == "present"
                else []
            )
            listed.profiles.append(profile)
        listed.blockers += faults
    _daemon_default(listed, desired[DEFAULT])
    return listed


def _daemon_default(listed: SeccompProfiles, name: Any) -> None:
    if name in ("", None):
        return
    listed.daemon_default = next((p for p in listed.profiles if p.name == name and p.state == "present"), None)
    if listed.daemon_default is None and not listed.blockers:
        present = ", ".join(p.name for p in listed.profiles if p.state == "present") or "none"
        listed.blockers.append(
            f"{DEFAULT}: \"{name}\" is no profile of {LIST} (there: {present}); write one of them, or '' for the engine's built-in profile"
        )


def _entry_problems(where: str, entry: Any) -> Iterable[str]:
    if not isinstance(entry, Mapping):
        yield f"{where}: {entry!r} is no profile; write a mapping with name and extends, blocks or src"
        return
    for key in entry:
        if key not in _KEYS:
            near = get_close_matches(str(key), _KEYS, 1)
            yield f"{where}.{key}: is no key of a profile; write {near[0] if near else 'one of ' + ', '.join(_KEYS)}"
    yield from _name_problems(where, entry.get("name"))
    for key in ("log", "force", "permissive"):
        if not isinstance(entry.get(key, False), bool):
            yield f"{where}.{key}: {entry[key]!r} is neither true nor false"
    if entry.get("state", "present") not in ("present", "absent"):
        yield f"{where}.state: {entry['state']!r} is no state; write present or absent"
        return
    if entry.get("state") == "absent":
        return
    texts, composed = [key for key in _TEXT if key in entry], [key for key in _COMPOSED if key in entry]
    if texts and composed:
        yield f"{where}.{composed[0]}: stands beside {texts[0]}, which is a whole profile; write one or the other"
    elif not texts and not any(key in entry for key in ("extends", "blocks", "allow")):
        yield f"{where}: says nothing of what the profile allows; write extends: web, a list of blocks, or src with a file"
    for key in _TEXT:
        if key in entry and not isinstance(entry[key], str):
            yield f"{where}.{key}: a string belongs here, not {json.dumps(entry[key])[:60]}"
    yield from _composed_problems(where, entry)


def _name_problems(where: str, name: Any) -> Iterable[str]:
    if name is None:
        yield f"{where}.name: is missing; write the profile's name, under which its file will stand"
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"{where}.name: {name!r} is no name; write letters, digits, dots, dashes and underscores, without a slash"
    elif name.endswith(".json"):
        yield f'{where}.name: "{name}" already ends in .json, which is added to it; write "{name.removesuffix(".json")}"'


def _composed_problems(where: str, entry: Mapping[str, Any]) -> Iterable[str]:
    for key in ("blocks", "allow", "deny", "architectures"):
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            yield f"{where}.{key}: {value!r} is no list of names; write for example [{'process' if key == 'blocks' else 'ptrace'}]"
            return
    if "extends" in entry and entry["extends"] not in PRESETS:
        yield f"{where}.extends: {entry['extends']!r} is no preset; write one of {', '.join(PRESETS)}"
    yield from _unknown(f"{where}.blocks", entry.get("blocks", []), BLOCKS, "building block")
    yield from _unknown(f"{where}.architectures", entry.get("architectures", []), KNOWN_ARCHITECTURES, "architecture")
    for key in ("allow", "deny"):
        if entry.get(key):
            yield from _unknown(f"{where}.{key}", entry[key], list_known_names(), "system call that libseccomp knows")
    both = sorted(set(entry.get("allow", [])) & set(entry.get("deny", [])))
    if both:
        yield f"{where}.deny: {', '.join(both)} stands under allow as well; write it in one of them"
    if entry.get("default_action", "SCMP_ACT_ERRNO") not in ACTIONS:
        yield f"{where}.default_action: {entry['default_action']!r} is no action; write one of {', '.join(ACTIONS)}"


def _unknown(where: str, words: Sequence[str], known: Iterable[str], what: str) -> Iterable[str]:
    known = list(known)
    for word in words:
        if word not in known:
            near = get_close_matches(word, known, 1, 0.7)
            hint = (
                f'write "{near[0]}"' if near else (f"write some of {', '.join(known)}" if len(known) < 30 else "correct it or take it out")
            )
            yield f'{where}: "{word}" is no {what}; {hint}'


def _profile(entry: Mapping[str, Any], directory: str) -> SeccompProfile:
    name, state = entry["name"], entry.get("state", "present")
    path = f"{directory.rstrip('/')}/{name}.json"
    text = ""
    if state == "present":
        text = entry["content"] if "content" in entry else render_profile(_composed(entry))
    return SeccompProfile(name, path, text, state, bool(entry.get("force")), bool(entry.get("log")), bool(entry.get("permissive")))


def _composed(entry: Mapping[str, Any]) -> dict[str, Any]:
    blocks = list(dict.fromkeys([*PRESETS.get(entry.get("extends", ""), ()), *entry.get("blocks", [])]))
    return compose_profile(
        blocks,
        entry.get("allow", ()),
        entry.get("deny", ()),
        entry.get("default_action", "SCMP_ACT_ERRNO"),
        entry.get("architectures") or ARCHITECTURES,
        bool(entry.get("log")),
    )


def _told_as(where: str, entry: Mapping[str, Any]) -> str:
    return f"{where} ({entry['src']})" if "src" in entry else where
