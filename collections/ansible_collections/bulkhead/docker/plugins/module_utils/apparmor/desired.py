# SPDX-License-Identifier: GPL-3.0-or-later
"""The AppArmor profiles of the inventory, checked and rendered. Control node only."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..host.root import sha256
from ..profiles.entries import describe_list_problem, number_entries, read_source
from .names import describe_name_problem
from .parameters import (
    APPARMOR_CAPABILITIES,
    describe_access_problem,
    describe_network_problem,
    describe_path_problem,
    describe_rule_problem,
    normalize_capability,
)
from .presets import PRESETS
from .render import ABI, render_profile
from .syntax import PERMISSIVE, Statement, list_profiles, list_unconfined_programs, parse_policy

VARIABLE = "apparmor_profiles_list"
FOLDER = "/etc/apparmor.d"

_LISTS = ("readable", "writable", "executable", "networks", "capabilities", "audited_denies", "rules")
_TEMPLATE = (*_LISTS, "extends", "description")
_COMMON = ("name", "mode", "state", "force")
_KEYS = (*_COMMON, *_TEMPLATE, "src")
# Keys that `resolve_sources` adds to an entry with `src`.
_RESOLVED = ("content", "src_problem")


@dataclass(frozen=True)
class AppArmorProfile:
    """One profile of the inventory; `content` is empty if it is to be absent. place: of its text in the inventory, for messages."""

    name: str
    mode: str = "enforce"
    state: str = "present"
    force: bool = False
    content: str = ""
    place: str = field(default="", compare=False)

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.name}"

    @property
    def sha256(self) -> str:
        return sha256(self.content)


@dataclass
class AppArmorProfiles:
    """The valid profiles of the inventory, a blocker per fault, and warnings."""

    profiles: list[AppArmorProfile] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def resolve_sources(entries: Sequence[Any], read_file: Callable[[str], str]) -> list[Any]:
    """Return the entries; those with `src` get the file's text as `content`, or `src_problem`, which `read_apparmor_profiles` reports."""
    resolved: list[Any] = []
    for entry in entries:
        if isinstance(entry, Mapping) and isinstance(entry.get("src"), str) and "content" not in entry:
            text, problem = read_source(entry["src"], read_file)
            entry = {**entry, "src_problem": f"{entry['src']} {problem}"} if text is None else {**entry, "content": text}
        resolved.append(entry)
    return resolved


def read_apparmor_profiles(entries: Any) -> AppArmorProfiles:
    """Check the list and render its profiles."""
    listed = AppArmorProfiles()
    if problem := describe_list_problem(VARIABLE, entries):
        listed.blockers.append(problem)
        return listed
    for place, entry, duplicates in number_entries(VARIABLE, entries):
        problems = [*_find_entry_problems(place, entry), *duplicates]
        listed.blockers += problems
        if not problems:
            profile = _build_profile(place, entry)
            listed.profiles.append(profile)
            listed.warnings += _find_warnings(place, entry, profile)
    return listed


def _build_profile(place: str, entry: Mapping[str, Any]) -> AppArmorProfile:
    name, state = entry["name"], entry.get("state", "present")
    content = ""
    place = f"{place}.src: {entry['src']}" if "src" in entry else f"{place}.rules"
    if state == "present":
        content = entry["content"] if "src" in entry else render_profile(name, _extend_preset(entry))
    return AppArmorProfile(name, entry.get("mode", "enforce"), state, bool(entry.get("force", False)), content, place)


def _extend_preset(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lists of the preset that the entry extends, followed by its own."""
    preset = PRESETS[entry["extends"]] if entry.get("extends") else {}
    lists = {key: [*preset.get(key, []), *(entry.get(key) or [])] for key in _LISTS}
    return {**lists, "description": entry.get("description", ""), "abi": preset.get("abi", ABI)}


def _find_entry_problems(place: str, entry: object) -> list[str]:
    if not isinstance(entry, Mapping):
        return [f"{place}: {entry!r} is not a profile; write a mapping with a name, such as {{name: my-web, extends: web}}"]
    found = [f"{place}.{key}: is not a key of a profile{_suggest(key, _KEYS)}" for key in entry if key not in (*_KEYS, *_RESOLVED)]
    problem = (
        describe_name_problem(entry["name"])
        if "name" in entry
        else "is missing; write the name that `--security-opt apparmor=NAME` will use"
    )
    if problem:
        found.append(f"{place}.name: {problem}")
    for key, allowed in (("mode", ("enforce", "complain")), ("state", ("present", "absent"))):
        if key in entry and entry[key] not in allowed:
            found.append(f"{place}.{key}: {entry[key]!r} is not valid; write {' or '.join(allowed)}")
    if not isinstance(entry.get("force", False), bool):
        found.append(f"{place}.force: {entry['force']!r} is not a boolean; write true or false")
    if entry.get("state") == "absent":
        return found
    template = [key for key in _TEMPLATE if entry.get(key)]
    if "src" in entry:
        if template:
            found.append(f"{place}.src: cannot be combined with {', '.join(template)}; write either a file or the template's parameters")
        return found + _find_source_problems(place, entry)
    if not template:
        found.append(f"{place}: does not say what it allows; write src, extends or parameters such as readable")
    return found + _find_template_problems(place, entry)


def _find_source_problems(place: str, entry: Mapping[str, Any]) -> list[str]:
    name, src, text = entry.get("name"), entry["src"], entry.get("content")
    if not isinstance(src, str) or not src:
        return [f"{place}.src: {src!r} is not a file name; write the path of a profile on the control node"]
    if not isinstance(text, str):
        return [f"{place}.src: {entry.get('src_problem', f'{src} was not read')}; write the path of a profile on the control node"]
    statements = parse_policy(text)
    if isinstance(name, str) and not any(statement.is_profile and statement.name == name for statement in statements):
        return [f"{place}.src: {src} has no profile {name!r}; write 'profile {name} … {{' there, or use its name here"]
    return [
        f"{place}.mode: {src} {problem} there{', or write mode: complain here' if flag == 'complain' else ''}"
        for flag, problem in _find_permissive_flags(statements, entry)
    ]


def _find_permissive_flags(statements: list[Statement], entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each flag with which a profile or one of its children would not confine, and the problem.

    In complain mode the file is loaded with all of its profiles in that mode (apparmor parser/parser_main.c, force_complain).
    """
    accepted = {"complain"} if entry.get("mode", "enforce") == "complain" else set()
    for profile in list_profiles(statements):
        for flag in sorted(set(profile.flags) & (PERMISSIVE.keys() - accepted)):
            where = "" if profile.name == entry.get("name") else f" in profile {profile.name}"
            yield flag, f"has flags=({flag}){where}, which {PERMISSIVE[flag]}; remove the flag"


def _find_template_problems(place: str, entry: Mapping[str, Any]) -> list[str]:
    found = []
    if entry.get("extends") and (not isinstance(entry["extends"], str) or entry["extends"] not in PRESETS):
        found.append(f"{place}.extends: {entry['extends']!r} is not a preset; write one of {', '.join(sorted(PRESETS))}")
    description = entry.get("description")
    if description and not (isinstance(description, str) and description.isprintable()):
        found.append(f"{place}.description: {description!r} is not one line of text; write it on one line")
    for key in _LISTS:
        values = entry.get(key)
        if values is None:
            continue
        if isinstance(values, str) or not isinstance(values, Sequence):
            found.append(f"{place}.{key}: {values!r} is not a list; write [{values}]")
            continue
        for index, value in enumerate(values):
            problem = _describe_value_problem(key, value)
            if problem:
                found.append(f"{place}.{key}[{index}]: {problem}")
            elif key == "rules":
                found += [f"{place}.rules[{index}]: {problem}" for unused, problem in _find_permissive_flags(parse_policy(value), entry)]
    return found


def _describe_value_problem(key: str, value: object) -> str | None:
    if key == "networks":
        return describe_network_problem(value)
    if key == "rules":
        return describe_rule_problem(value)
    if key == "capabilities":
        plain = str(value).lower().removeprefix("cap_")
        hint = _suggest(plain, APPARMOR_CAPABILITIES) or "; see man 7 capabilities, and write it like net_bind_service"
        return None if normalize_capability(value) else f"{value!r} is not a capability{hint}"
    if key == "audited_denies" and isinstance(value, Mapping):
        unknown = [name for name in value if name not in ("path", "access")]
        if unknown or "path" not in value:
            return f"{dict(value)!r} is not a deny rule; write a path, or {{path: …, access: rwklmx}}"
        return describe_path_problem(value["path"]) or (describe_access_problem(value["access"]) if "access" in value else None)
    return describe_path_problem(value)


def _suggest(word: object, known: Any) -> str:
    close = difflib.get_close_matches(str(word), sorted(known), 1)
    return f"; write {close[0]}" if close else ""


def _find_warnings(place: str, entry: Mapping[str, Any], profile: AppArmorProfile) -> list[str]:
    if profile.state == "absent":
        return []
    found = [
        f"{profile.place}: '{rule},' in profile {each.name} lets a program run without any profile, if it has no no-new-privileges; "
        "write ix, or a profile that confines it"
        for each in list_profiles(parse_policy(profile.content))
        for rule in list_unconfined_programs(each.body)
    ]
    both = [
        path
        for path in entry.get("writable") or []
        if "src" not in entry and any(_is_inside(folder, path) for folder in _extend_preset(entry)["executable"])
    ]
    for path in both:
        found.append(
            f"{place}.writable: files that are written under {path} can be executed as well; keep programs and data apart if you can"
        )
    return found


def _is_inside(folder: str, path: str) -> bool:
    """Return whether a folder without wildcards contains the path; patterns are not compared."""
    return not set(folder) & set("*?[{") and (path == folder or path.startswith(folder.rstrip("/") + "/"))
