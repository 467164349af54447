# SPDX-License-Identifier: GPL-3.0-or-later
"""The seccomp profiles of the inventory, checked and composed. Control node only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ..host.root import sha256
from ..profiles.entries import describe_list_problem, number_entries, read_source
from .blocks import BLOCKS, PRESETS
from .check import find_profile_problems
from .compose import ARCHITECTURES, compose_profile, format_profile, list_free_calls
from .profile import ARCHITECTURES as KNOWN_ARCHITECTURES
from .profile import parse_profile
from .semantics import ACTIONS, ProfileError
from .syscalls_other import list_known_names

LIST = "seccomp_profiles_list"
DEFAULT = "seccomp_profiles_daemon_default"
DIRECTORY = "seccomp_profiles_directory"
LOG_DENIALS = "seccomp_profiles_log_denials"

_COMPOSED = ("extends", "blocks", "allow", "deny", "rules", "default_action", "architectures", "log")
_TEXT = ("src", "content")
_KEYS = ("name", *_TEXT, *_COMPOSED, "permissive", "state", "force")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class SeccompProfile:
    """One profile of the inventory; `text` is empty if it is to be absent.

    logging: the text with which the kernel logs denials; empty if that is not desired. place: of the text in the inventory, for messages.
    """

    name: str
    path: str
    text: str
    state: str = "present"
    force: bool = False
    logging: str = ""
    permissive: bool = False
    place: str = field(default="", compare=False)

    @property
    def sha256(self) -> str:
        return sha256(self.text)


@dataclass
class SeccompProfiles:
    """The profiles of the inventory, and a blocker per fault."""

    profiles: list[SeccompProfile] = field(default_factory=list)
    daemon_default: SeccompProfile | None = None
    blockers: list[str] = field(default_factory=list)


def resolve_sources(entries: Sequence[Any], read_file: Callable[[str], str]) -> list[Any]:
    """Return the entries; those with `src` get the file's text as `content`. Raises ValueError for a file that cannot be read."""
    resolved = []
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapping) and isinstance(entry.get("src"), str):
            text, problem = read_source(entry["src"], read_file)
            if text is None:
                raise ValueError(f"{LIST}[{index}].src: {entry['src']} {problem}; write the path of a file on the control node")
            entry = {**entry, "content": text}
        resolved.append(entry)
    return resolved


def read_seccomp_profiles(desired: Mapping[str, Any]) -> SeccompProfiles:
    """Check the variables and compose the profiles."""
    listed = SeccompProfiles()
    directory, entries = desired[DIRECTORY], desired[LIST]
    if not isinstance(directory, str) or not directory.startswith("/"):
        listed.blockers.append(f"{DIRECTORY}: {directory!r} is not an absolute path; write for example /etc/docker/seccomp")
    if problem := describe_list_problem(LIST, entries):
        listed.blockers.append(problem)
    if listed.blockers:
        return listed
    for place, entry, duplicates in number_entries(LIST, entries):
        faults = [*_find_entry_problems(place, entry), *duplicates]
        if not faults:
            profile = _build_profile(place, entry, directory, desired.get(LOG_DENIALS) is True)
            if profile.state == "present":
                faults = find_profile_problems(profile.text, profile.place, profile.permissive)
            listed.profiles.append(profile)
        listed.blockers += faults
    _set_daemon_default(listed, desired[DEFAULT])
    return listed


def _set_daemon_default(listed: SeccompProfiles, name: Any) -> None:
    if name in ("", None):
        return
    listed.daemon_default = next((p for p in listed.profiles if p.name == name and p.state == "present"), None)
    if listed.daemon_default is None and not listed.blockers:
        present = ", ".join(p.name for p in listed.profiles if p.state == "present") or "none"
        listed.blockers.append(
            f"{DEFAULT}: \"{name}\" is not a profile of {LIST} (defined: {present}); write one of them, or '' for the engine's built-in profile"
        )


def _find_entry_problems(place: str, entry: Any) -> Iterable[str]:
    if not isinstance(entry, Mapping):
        yield f"{place}: {entry!r} is not a profile; write a mapping with name and extends, blocks or src"
        return
    for key in entry:
        if key not in _KEYS:
            near = get_close_matches(str(key), _KEYS, 1)
            yield f"{place}.{key}: is not a key of a profile; write {near[0] if near else 'one of ' + ', '.join(_KEYS)}"
    yield from _find_name_problems(place, entry.get("name"))
    for key in ("log", "force", "permissive"):
        if not isinstance(entry.get(key, False), bool):
            yield f"{place}.{key}: {entry[key]!r} is not a boolean; write true or false"
    if entry.get("state", "present") not in ("present", "absent"):
        yield f"{place}.state: {entry['state']!r} is not a state; write present or absent"
        return
    if entry.get("state") == "absent":
        return
    texts, composed = [key for key in _TEXT if key in entry], [key for key in _COMPOSED if key in entry]
    if texts and composed:
        yield f"{place}.{composed[0]}: cannot be combined with {texts[0]}, which is a whole profile; write one or the other"
    elif not texts and not any(key in entry for key in ("extends", "blocks", "allow", "rules")):
        yield f"{place}: does not say what the profile allows; write extends: web, a list of blocks, or src with a file"
    for key in _TEXT:
        if key in entry and not isinstance(entry[key], str):
            yield f"{place}.{key}: {json.dumps(entry[key])[:60]} is not a string; write the text in quotes"
    yield from _find_composed_problems(place, entry)


def _find_name_problems(place: str, name: Any) -> Iterable[str]:
    if name is None:
        yield f"{place}.name: is missing; write the name of the profile, which is also the name of its file"
    elif not isinstance(name, str) or not NAME.fullmatch(name):
        yield f"{place}.name: {name!r} is not a valid name; write letters, digits, dots, dashes and underscores, without a slash"
    elif name.endswith(".json"):
        yield f'{place}.name: "{name}" ends in .json, which is added to it; write "{name.removesuffix(".json")}"'


def _find_composed_problems(place: str, entry: Mapping[str, Any]) -> Iterable[str]:
    for key in ("blocks", "allow", "deny", "architectures"):
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            yield f"{place}.{key}: {value!r} is not a list of names; write for example [{'process' if key == 'blocks' else 'ptrace'}]"
            return
    if "extends" in entry and entry["extends"] not in PRESETS:
        yield f"{place}.extends: {entry['extends']!r} is not a preset; write one of {', '.join(PRESETS)}"
    yield from _find_unknown(f"{place}.blocks", entry.get("blocks", []), BLOCKS, "building block")
    yield from _find_unknown(f"{place}.architectures", entry.get("architectures", []), KNOWN_ARCHITECTURES, "known architecture")
    for key in ("allow", "deny"):
        if entry.get(key):
            yield from _find_unknown(f"{place}.{key}", entry[key], list_known_names(), "system call that libseccomp knows")
    both = sorted(set(entry.get("allow", [])) & set(entry.get("deny", [])))
    if both:
        yield f"{place}.deny: {', '.join(both)} is in allow as well; write it in one of them"
    yield from _find_rule_problems(place, entry)
    if entry.get("default_action", "SCMP_ACT_ERRNO") not in ACTIONS:
        yield f"{place}.default_action: {entry['default_action']!r} is not an action; write one of {', '.join(ACTIONS)}"


def _find_rule_problems(place: str, entry: Mapping[str, Any]) -> Iterable[str]:
    """Yield the problems of `rules`: those of their form, and calls that blocks, `allow` or `deny` decide about already."""
    rules = entry.get("rules", [])
    if not isinstance(rules, list):
        yield f"{place}.rules: {rules!r} is not a list; write entries as in `syscalls` of a profile, such as {{names: [chroot], action: SCMP_ACT_LOG}}"
        return
    try:
        parsed = parse_profile(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}, default=str), place)
    except ProfileError as error:
        yield from (problem.replace(": syscalls[", ".rules[", 1) for problem in error.problems)
        return
    names = {word for key in ("allow", "deny") for word in entry.get(key, [])}
    try:
        names |= list_free_calls(_list_blocks(entry), ())
    except KeyError:
        return  # reported as an unknown preset or block
    for index, rule in enumerate(parsed.rules):
        yield from _find_unknown(f"{place}.rules[{index}].names", rule.names, list_known_names(), "system call that libseccomp knows")
        for name in rule.names:
            if name in names:
                yield (
                    f'{place}.rules[{index}].names: "{name}" is in allow, deny or a block as well, which decides about it; '
                    "remove it from one of them"
                )


def _find_unknown(place: str, words: Sequence[str], known: Iterable[str], what: str) -> Iterable[str]:
    known = list(known)
    for word in words:
        if word not in known:
            near = get_close_matches(word, known, 1, 0.7)
            hint = f'write "{near[0]}"' if near else (f"write some of {', '.join(known)}" if len(known) < 30 else "correct or remove it")
            yield f'{place}: "{word}" is not a {what}; {hint}'


def _build_profile(place: str, entry: Mapping[str, Any], directory: str, log_denials: bool) -> SeccompProfile:
    name, state = entry["name"], entry.get("state", "present")
    path = f"{directory.rstrip('/')}/{name}.json"
    text = logging = ""
    if state == "present":
        text = entry["content"] if "content" in entry else format_profile(_compose_entry(entry))
        if "content" not in entry and entry.get("log", log_denials):
            logging = format_profile(_compose_entry(entry, log=True))
    place = f"{place} ({entry['src']})" if "src" in entry else place
    return SeccompProfile(name, path, text, state, bool(entry.get("force")), logging, bool(entry.get("permissive")), place)


def _list_blocks(entry: Mapping[str, Any]) -> list[str]:
    """Return the blocks of an entry, those of its preset first."""
    return list(dict.fromkeys([*PRESETS.get(entry.get("extends", ""), ()), *entry.get("blocks", [])]))


def _compose_entry(entry: Mapping[str, Any], log: bool = False) -> dict[str, Any]:
    return compose_profile(
        _list_blocks(entry),
        entry.get("allow", ()),
        entry.get("deny", ()),
        entry.get("default_action", "SCMP_ACT_ERRNO"),
        entry.get("architectures") or ARCHITECTURES,
        log,
        entry.get("rules", ()),
    )
