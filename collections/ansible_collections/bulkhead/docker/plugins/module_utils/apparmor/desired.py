# SPDX-License-Identifier: GPL-3.0-or-later
"""`apparmor_profiles_list`, checked and turned into texts. Runs on the control node."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..host.files import sha256
from .parameters import (
    CAPABILITIES,
    describe_access_problem,
    describe_name_problem,
    describe_network_problem,
    describe_path_problem,
    describe_rule_problem,
    normalize_capability,
)
from .presets import PRESETS
from .render import ABI, render_profile

VARIABLE = "apparmor_profiles_list"
FOLDER = "/etc/apparmor.d"

_LISTS = ("readable", "writable", "executable", "networks", "capabilities", "audited_denies", "rules")
_TEMPLATE = (*_LISTS, "extends", "description")
_COMMON = ("name", "mode", "state", "force")
_KEYS = (*_COMMON, *_TEMPLATE, "src")
# What `resolve_sources` adds to an entry with `src`.
_RESOLVED = ("content", "src_problem")

_COMMENT = re.compile(r"#(?!include\b).*")
_COMPLAIN = re.compile(r"\bflags\s*=\s*\([^)]*\bcomplain\b")
_SIGNAL = re.compile(r"(?m)^\s*(?:audit\s+|allow\s+)*signal\b")


@dataclass(frozen=True)
class AppArmorProfile:
    """One entry: what shall be on the host under this name; `content` is empty where `state` is absent."""

    name: str
    mode: str = "enforce"
    state: str = "present"
    force: bool = False
    content: str = ""

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.name}"

    @property
    def sha256(self) -> str:
        return sha256(self.content)


@dataclass
class AppArmorProfiles:
    """The whole list: profiles without fault, and a sentence for each fault."""

    profiles: list[AppArmorProfile] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def resolve_sources(entries: Sequence[Any], read_file: Callable[[str], str]) -> list[Any]:
    """The entries, those with `src` joined by the file's text as `content`. What can't be read is told by `read_profiles`."""
    resolved: list[Any] = []
    for entry in entries:
        if isinstance(entry, Mapping) and isinstance(entry.get("src"), str) and "content" not in entry:
            try:
                entry = {**entry, "content": read_file(entry["src"])}
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None)
                entry = {**entry, "src_problem": f"{entry['src']}: {reason}" if reason else str(error)}
        resolved.append(entry)
    return resolved


def read_profiles(entries: object) -> AppArmorProfiles:
    """Check the list and render its profiles."""
    desired = AppArmorProfiles()
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        desired.blockers.append(f"{VARIABLE}: {entries!r} is no list; write a list of profiles, or [] for none")
        return desired
    seen: dict[str, int] = {}
    for index, given in enumerate(entries):
        where = f"{VARIABLE}[{index}]"
        # An omitted key is null where a playbook passes entries through an argument spec.
        entry = {key: value for key, value in given.items() if value is not None} if isinstance(given, Mapping) else given
        problems = _find_problems(where, entry)
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if isinstance(name, str) and name in seen:
            problems.append(f"{where}.name: {name!r} stands in {VARIABLE}[{seen[name]}] already; write each profile once")
        elif isinstance(name, str):
            seen[name] = index
        desired.blockers += problems
        if not problems:
            profile = _build_profile(entry)
            desired.profiles.append(profile)
            desired.warnings += _find_warnings(where, entry, profile)
    return desired


def _build_profile(entry: Mapping[str, Any]) -> AppArmorProfile:
    name, state = entry["name"], entry.get("state", "present")
    content = ""
    if state == "present":
        content = entry["content"] if "src" in entry else render_profile(name, _extend_preset(entry))
    return AppArmorProfile(name, entry.get("mode", "enforce"), state, bool(entry.get("force", False)), content)


def _extend_preset(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry's own lists after those of the preset that it extends."""
    preset = PRESETS[entry["extends"]] if entry.get("extends") else {}
    lists = {key: [*preset.get(key, []), *(entry.get(key) or [])] for key in _LISTS}
    return {**lists, "description": entry.get("description", ""), "abi": preset.get("abi", ABI)}


def _find_problems(where: str, entry: object) -> list[str]:
    if not isinstance(entry, Mapping):
        return [f"{where}: {entry!r} is no profile; write a mapping with a name, such as {{name: my-web, extends: web}}"]
    found = [f"{where}.{key}: no such key{_suggestion(key, _KEYS)}" for key in entry if key not in (*_KEYS, *_RESOLVED)]
    problem = (
        describe_name_problem(entry["name"]) if "name" in entry else "missing; write the name that `--security-opt apparmor=NAME` will use"
    )
    if problem:
        found.append(f"{where}.name: {problem}")
    for key, allowed in (("mode", ("enforce", "complain")), ("state", ("present", "absent"))):
        if key in entry and entry[key] not in allowed:
            found.append(f"{where}.{key}: {entry[key]!r} is unknown; write {' or '.join(allowed)}")
    if not isinstance(entry.get("force", False), bool):
        found.append(f"{where}.force: {entry['force']!r} is no truth value; write true or false")
    if entry.get("state") == "absent":
        return found
    template = [key for key in _TEMPLATE if entry.get(key)]
    if "src" in entry:
        if template:
            found.append(f"{where}.src: goes with no {', '.join(template)}; write either a file or the template's parameters")
        return found + _find_source_problems(where, entry)
    if not template:
        found.append(f"{where}: says nothing of what it allows; write src, extends or parameters such as readable")
    return found + _find_template_problems(where, entry)


def _find_source_problems(where: str, entry: Mapping[str, Any]) -> list[str]:
    name, src, text = entry.get("name"), entry["src"], entry.get("content")
    if not isinstance(src, str) or not src:
        return [f"{where}.src: {src!r} is no file name; write the path of a profile on the control node"]
    if not isinstance(text, str):
        return [f"{where}.src: {entry.get('src_problem', f'{src} was not read')}; write the path of a profile on the control node"]
    policy = _COMMENT.sub("", text)
    if isinstance(name, str) and not re.search(rf'(?m)^\s*profile\s+"?{re.escape(name)}"?[\s({{]', policy):
        return [f"{where}.src: {src} has no profile {name!r}; write 'profile {name} … {{' there, or the name that it has here"]
    if entry.get("mode", "enforce") == "enforce" and _COMPLAIN.search(policy):
        return [f"{where}.mode: {src} says flags=(complain), which only logs; remove the flag there, or write mode: complain here"]
    return []


def _find_template_problems(where: str, entry: Mapping[str, Any]) -> list[str]:
    found = []
    if entry.get("extends") and (not isinstance(entry["extends"], str) or entry["extends"] not in PRESETS):
        found.append(f"{where}.extends: {entry['extends']!r} is no preset; write one of {', '.join(sorted(PRESETS))}")
    description = entry.get("description")
    if description and not (isinstance(description, str) and description.isprintable()):
        found.append(f"{where}.description: must be one line of text")
    for key in _LISTS:
        values = entry.get(key)
        if values is None:
            continue
        if isinstance(values, str) or not isinstance(values, Sequence):
            found.append(f"{where}.{key}: {values!r} is no list; write [{values}]")
            continue
        for index, value in enumerate(values):
            problem = _describe_value_problem(key, value)
            if problem:
                found.append(f"{where}.{key}[{index}]: {problem}")
    return found


def _describe_value_problem(key: str, value: object) -> str | None:
    if key == "networks":
        return describe_network_problem(value)
    if key == "rules":
        return describe_rule_problem(value)
    if key == "capabilities":
        plain = str(value).lower().removeprefix("cap_")
        hint = _suggestion(plain, CAPABILITIES) or "; see man 7 capabilities, and write it like net_bind_service"
        return None if normalize_capability(value) else f"{value!r} is no capability{hint}"
    if key == "audited_denies" and isinstance(value, Mapping):
        unknown = [name for name in value if name not in ("path", "access")]
        if unknown or "path" not in value:
            return f"{dict(value)!r} is no deny; write a path, or {{path: …, access: rwklmx}}"
        return describe_path_problem(value["path"]) or (describe_access_problem(value["access"]) if "access" in value else None)
    return describe_path_problem(value)


def _suggestion(word: object, known: Any) -> str:
    close = difflib.get_close_matches(str(word), sorted(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _find_warnings(where: str, entry: Mapping[str, Any], profile: AppArmorProfile) -> list[str]:
    if profile.state == "absent":
        return []
    found = []
    if "src" in entry and not _SIGNAL.search(_COMMENT.sub("", profile.content)):
        found.append(
            f"{where}.src: {entry['src']} has no signal rule, so that `docker stop` will end in SIGKILL; "
            f"add 'signal (receive) peer={{unconfined,runc,crun,rootlesskit}},' to it"
        )
    both = [
        path
        for path in entry.get("writable") or []
        if "src" not in entry and any(_is_inside(folder, path) for folder in _extend_preset(entry)["executable"])
    ]
    for path in both:
        found.append(f"{where}.writable: what is written under {path} can be executed as well; keep programs and data apart where you can")
    return found


def _is_inside(folder: str, path: str) -> bool:
    """Whether a plain folder of one list holds a path of the other; patterns are left to the reader."""
    return not set(folder) & set("*?[{") and (path == folder or path.startswith(folder.rstrip("/") + "/"))
