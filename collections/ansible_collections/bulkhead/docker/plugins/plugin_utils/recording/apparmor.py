# SPDX-License-Identifier: GPL-3.0-or-later
"""Generates an entry of apparmor_profiles_list from a recording. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...module_utils.apparmor.parameters import APPARMOR_CAPABILITIES, DENIABLE, FAMILIES, TYPES, describe_rule_problem
from ...module_utils.apparmor.presets import ANY, WEB
from ...module_utils.apparmor.render import expand_path
from ...module_utils.apparmor.signals import SENDERS, matches_label
from .call_descriptions import describe_seen
from .file_rules import FileRule, generalise_paths
from .generation import ENFORCE, LOG, Generated, GenerationError, format_count, name_profile, shorten_list
from .model import Recording, SeenAccess

# More rules than these mean that the service's files have names that are not recognised as varying.
MOST_RULES = 80
_VARIABLES = {"@{PROC}": ("/proc",), "@{pid}": ("[0-9]*",), "@{tid}": ("[0-9]*",)}
# man 5 apparmor.d, SIGNAL; the parser rejects a profile with another name.
_SIGNAL = re.compile(
    "hup|int|quit|ill|trap|abrt|bus|fpe|kill|usr1|segv|usr2|pipe|alrm|term|stkflt|chld|cont|stop|stp|ttin|ttou|urg|xcpu|xfsz|vtalrm|prof|winch"
    r"|io|pwr|sys|emt|exists|rtmin\+[0-9]{1,2}"
)
# Every generated profile allows this (apparmor/render.py).
_PROCESS = "@{PROC}/@{pid}/"
_RULES = ("extends", "readable", "writable", "executable", "networks", "capabilities", "audited_denies", "rules")


def generate_apparmor_entry(recording: Recording, base: Mapping[str, Any] | None, stage: str) -> Generated:
    """Return the entry of a service for a stage (LOG or ENFORCE), with a reason per rule. Raises GenerationError.

    base: the entry of apparmor_profiles_list under which the service was recorded; None for the engine's default. A rule of AppArmor
    that allows and logs would also log what is recorded already. So stage LOG has the base's rules under the service's own name, and the
    recorder sees what is new.
    """
    if stage not in (LOG, ENFORCE):
        raise GenerationError(f"{recording.service}: stage {stage!r} has no AppArmor profile; write {LOG} or {ENFORCE}")
    allowed = [each for each in recording.access if not each.denied]
    if not allowed:  # stage log has no profile either, because enforcing would have none
        raise GenerationError(
            f"{recording.service}: no access was recorded by AppArmor; record the service first with playbooks/record.yml"
        )
    if stage == LOG:
        return _build_log_entry(recording, base)
    entry: dict[str, Any] = {"name": name_profile(recording.service), "description": f"generated from the recording of {recording.service}"}
    result = Generated(entry)
    _add_networks(entry, result, allowed)
    _add_capabilities(entry, result, allowed)
    rules = list(_list_file_rules(recording, allowed, result))
    rules += _list_other_rules(recording, allowed, result)
    entry["rules"] = [*dict.fromkeys(rules), *_keep_denies(entry, allowed, result)]
    total = sum(len(entry.get(key, ())) for key in ("networks", "capabilities", "rules", "audited_denies"))
    if total > MOST_RULES:
        result.notes.append(
            f"the profile has {format_count(total, 'rule')}; mount a folder whose files have names that vary, so that one rule covers it"
        )
    denied = sorted({each.key.removeprefix("denied ") for each in recording.access if each.denied})
    if denied:
        result.notes.append(f"was denied while recording, and stays denied: {shorten_list(denied, 20)}")
    return result


def _build_log_entry(recording: Recording, base: Mapping[str, Any] | None) -> Generated:
    if base is None or "src" in base:  # a file contains the name of its own profile
        rules, former = {"extends": "any"}, "preset any, which allows what the engine's default allows"
    else:
        rules, former = {key: value for key, value in base.items() if key in (*_RULES, "mode")}, str(base["name"])
    entry = {"name": name_profile(recording.service), "description": f"stage log of {recording.service}", **rules}
    return Generated(entry, [(key, f"as in {former}; the recorder sees what is not recorded yet") for key in rules])


def _add_networks(entry: dict[str, Any], result: Generated, allowed: Sequence[SeenAccess]) -> None:
    found: dict[str, SeenAccess] = {}
    for each in allowed:
        kind = each.access["class"]
        if kind in ("network", "unix"):
            family = "unix" if kind == "unix" else str(each.access["family"])
            kind = str(each.access.get("type", ""))
            if family not in FAMILIES:
                result.notes.append(f"network {family}: is recorded, but AppArmor has no rule for this family, so it is not allowed")
                continue
            found.setdefault(f"{family} {kind}" if kind in TYPES else family, each)
    if found:
        entry["networks"] = sorted(found)
        result.reasons += [(name, describe_seen(found[name], found[name].first)) for name in sorted(found)]


def _add_capabilities(entry: dict[str, Any], result: Generated, allowed: Sequence[SeenAccess]) -> None:
    found = {str(each.access["name"]): each for each in allowed if each.access["class"] == "capability"}
    known = sorted(found.keys() & APPARMOR_CAPABILITIES)
    if known:
        entry["capabilities"] = known
        result.reasons += [(name, describe_seen(found[name], found[name].first)) for name in known]


def _list_file_rules(recording: Recording, allowed: Sequence[SeenAccess], result: Generated) -> Iterator[str]:
    files = [each for each in allowed if each.access["class"] == "file"]
    files = [each for each in [*files, *_list_link_targets(files)] if not _is_in_template(each)]
    if {"link", "linkat"} & recording.calls.keys():
        # AppArmor never reports hard links (Linux 6.1 to 7.2): it drops the bit before it audits.
        files = [replace(each, access={**each.access, "mask": _add_link(each.access["mask"])}) for each in files]
    for rule in generalise_paths(files, recording.mounts):
        if _check(rule.text, result):
            result.reasons.append((rule.text, _explain(rule)))
            yield rule.text


def _add_link(mask: str) -> str:
    return "".join(sorted({*mask, "l"})) if "w" in mask else mask


def _list_link_targets(files: Sequence[SeenAccess]) -> Iterator[SeenAccess]:
    """Yield accesses to the targets of hard links: a link must not have a permission that its target lacks (man 5 apparmor.d, `l`)."""
    for each in files:
        if "l" in each.access["mask"] and each.access.get("target"):
            masks = {letter for other in files if other.access["path"] == each.access["path"] for letter in other.access["mask"]}
            mask = "".join(sorted(masks - {"l"}))
            if mask:
                yield replace(each, access={"class": "file", "path": each.access["target"], "mask": mask})


def _is_in_template(access: SeenAccess) -> bool:
    return str(access.access["path"]).startswith(_PROCESS) and access.access["mask"] == "r"


def _explain(rule: FileRule) -> str:
    where = f"recorded on {shorten_list(rule.hosts)} since {rule.first}"
    if rule.sources == (rule.path,):
        return where
    return f"{where} for {shorten_list(rule.sources, 2)}"


def _check(rule: str, result: Generated) -> bool:
    """Return whether a rule can be part of an entry; if not, add a note."""
    problem = describe_rule_problem(rule)
    if problem:
        result.notes.append(f"is recorded, but cannot be written as a rule: {problem}")
    return not problem


def _list_other_rules(recording: Recording, allowed: Sequence[SeenAccess], result: Generated) -> Iterator[str]:
    own = {configuration.apparmor for configuration in recording.configurations.values()}
    for each in allowed:
        rule = _build_rule(each.access, own)
        if rule is None:
            result.notes.append(f"{each.key}: is recorded, but no rule is known for it, so it is not allowed")
        elif rule and _check(rule, result):
            result.reasons.append((rule, describe_seen(each, each.first)))
            yield rule


def _build_rule(access: Mapping[str, Any], own: set[str]) -> str | None:
    """Return the rule for an access other than to a file; empty if every profile allows it, None if no rule can allow it."""
    kind = access["class"]
    if kind in ("file", "network", "capability", "userns"):
        return ""  # user namespaces are not mediated with the ABI of the generated profiles
    if kind == "unix":
        return f"unix type={access['type']}" if access.get("type") in TYPES else "unix"
    if kind == "signal":
        return _build_signal(access, own)
    if kind == "ptrace":
        return "" if access.get("peer") in own else f"ptrace ({access['mask']}) peer={_quote(access.get('peer', 'unconfined'))}"
    if kind == "mount":
        return _build_mount(access)
    return None


def _build_signal(access: Mapping[str, Any], own: set[str]) -> str:
    peer, direction = str(access.get("peer", "unconfined")), access["direction"]
    if peer in own or (direction == "receive" and matches_label(SENDERS, peer, {}, False)):
        return ""
    known = f" set=({access['signal']})" if _SIGNAL.fullmatch(str(access["signal"])) else ""
    return f"signal ({direction}){known} peer={_quote(peer)}"


def _build_mount(access: Mapping[str, Any]) -> str:
    path = _quote(access["path"]) if access.get("path") else ""
    if access["operation"] in ("umount", "pivotroot"):
        return f"{'umount' if access['operation'] == 'umount' else 'pivot_root'} {path}".rstrip()
    parts = [access["operation"]]
    if access.get("fstype"):
        parts.append(f"fstype={access['fstype']}")
    if access.get("flags"):
        parts.append(f"options=({str(access['flags']).replace(' ', '')})")
    if access.get("source"):
        parts.append(_quote(access["source"]))
    return " ".join([*parts, *(["->"] if access["operation"] == "mount" and path else []), *([path] if path else [])])


def _quote(text: Any) -> str:
    return f'"{text}"' if set(str(text)) & set(" ,") else str(text)


def _keep_denies(entry: dict[str, Any], allowed: Sequence[SeenAccess], result: Generated) -> list[str]:
    """Set the audited denies of preset `web`, and return the deny rules of preset `any`, without those that a recorded access contradicts."""
    audited: list[Any] = []
    for value in WEB["audited_denies"]:
        path, letters = (value, DENIABLE) if isinstance(value, str) else (value["path"], value["access"])
        if _is_free(f"audit deny {path} {letters}", expand_path(path), letters, allowed, result):
            audited.append(value)
            result.reasons.append((path, "as in preset web: denied and logged"))
    if audited:
        entry["audited_denies"] = audited
    rules = []
    for rule in (rule for rule in ANY["rules"] if rule.startswith(("deny ", "audit deny "))):
        words = rule.removeprefix("audit ").split()
        is_file_rule = len(words) > 2
        used = {each.access["class"] for each in allowed}
        if _is_free(rule, words[1], words[2], allowed, result) if is_file_rule else words[1] not in used:
            rules.append(rule)
            result.reasons.append((rule, "as in preset any"))
    return rules


def _is_free(rule: str, pattern: str, letters: str, allowed: Sequence[SeenAccess], result: Generated) -> bool:
    """Return whether no recorded access contradicts a deny rule; if one does, add a note."""
    for each in allowed:
        if each.access["class"] == "file" and set(str(each.access["mask"])) & set(letters):
            path = str(each.access["path"]).replace("@{PROC}", "/proc").replace("@{pid}", "1").replace("@{tid}", "1")
            if matches_label(pattern, path, _VARIABLES, False):
                result.notes.append(f"{rule}: this deny rule is left out, because {each.access['path']} is recorded")
                return False
    return True
