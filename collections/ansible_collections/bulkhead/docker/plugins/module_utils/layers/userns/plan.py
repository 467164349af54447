# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning user namespaces: the user, its ranges, and what an engine would no longer see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...engine.instance import of
from ...subid.allocate import RangeRequest, describe_bounds_problem
from ...subid.decide import SubidDecision, UserRequest, decide_ranges, parse_pairs
from ...subid.mapping import DEFAULT_USER, MIN_IDS, SubidState, find_configured_remap, build_expected_maps, explain_unsupported, parse_major, parse_remap_user, parse_state
from ...subid.ranges import SUBGID, SUBUID, SubidFile
from ..verdict import DISABLED, Change, LayerPlan
from . import data_guard

LAYER = "userns"
BESIDE_ROOTLESS = "a rootless engine does not start with userns-remap, as its root is nobody already; write userns_remap_layer: disabled"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """What the kernel shall show."""
    return {
        "requirement": desired["userns_remap_layer"],
        "user": parse_remap_user(desired["userns_remap_user"])[0],
        "size": desired["userns_remap_range_size"],
        "start": desired["userns_remap_range_start"] if desired.get("userns_remap_range_exact") else None,
    }


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    found = LayerPlan(LAYER, desired["userns_remap_layer"])
    if of(observed).rootless:
        # What the rootful engine has stays as it is, for when it comes back.
        return found if found.requirement == DISABLED else found.cannot(BESIDE_ROOTLESS)
    here, engine = observed["layers"][LAYER], observed["engine"]
    unreadable = [f"{source} can't be read: {error}" for source, error in here.get("unreadable", {}).items()]
    if found.requirement == DISABLED:
        found.warnings += unreadable
    else:
        found.blockers += unreadable + _bad_input(desired)
        reason = explain_unsupported(here)
        if reason:
            found.cannot(reason)
    if found.blockers or not found.applicable:
        return found
    seen = parse_state(here)
    if found.requirement == DISABLED:
        _switch_off(found, observed, desired, seen)
    else:
        _switch_on(found, observed, desired, seen)
    if found.blockers:
        return LayerPlan(LAYER, found.requirement, blockers=found.blockers, warnings=found.warnings, notices=found.notices)
    if engine.get("running") and not engine.get("remapped") and found.daemon_keys:
        found.effects.append(
            "under userns-remap the engine refuses --privileged, --network host and --pid host to a container unless it has --userns=host"
        )
    return found


def _bad_input(desired: Mapping[str, Any]) -> list[str]:
    """What is wrong with the variables, whatever the host."""
    problems = []
    user, group = parse_remap_user(desired["userns_remap_user"])
    if user in ("root", "0"):
        problems.append(
            "userns_remap_user: root can't be remapped to itself, the engine then runs without user namespaces; "
            "write default, or another user"
        )
    elif user.isdigit() or group.isdigit():
        problems.append(f"userns_remap_user: {desired['userns_remap_user']} names an ID; write the user's name, or default")
    elif not _NAME.fullmatch(user) or (":" in desired["userns_remap_user"] and not _NAME.fullmatch(group)):
        problems.append(f"userns_remap_user: {desired['userns_remap_user']!r} is no user; write default, a name, or name:group")
    start, size = desired["userns_remap_range_start"], desired["userns_remap_range_size"]
    if size < MIN_IDS:
        problems.append(
            f"userns_remap_range_size: {size} is too few, images with files of nobody (65534) can't be unpacked; write {MIN_IDS} or more"
        )
    elif start < 65536:
        problems.append(
            f"userns_remap_range_start: {start} lies among the host's own accounts (0 to 65535); write 65536 or more, such as 231072"
        )
    elif describe_bounds_problem(start, size):
        problems.append(
            f"userns_remap_range_start: {start}, with userns_remap_range_size {size}, {describe_bounds_problem(start, size)}; write a smaller one"
        )
    return problems


def _switch_on(found: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], seen: SubidState) -> None:
    here, engine = observed["layers"][LAYER], observed["engine"]
    request, value = _request(desired, here, seen)
    memory = (here.get("state") or {}).get("users", {})
    requests = [request, *_releases(memory, observed, keep=request.user)]
    decision = decide_ranges(requests, seen.subuid, seen.subgid, seen.accounts, memory)
    found.blockers += decision.errors
    _report_malformed(found, seen, engine.get("version"))
    if found.blockers:
        return
    after = SubidState(decision.subuid, decision.subgid, seen.accounts)
    uid_map, gid_map = build_expected_maps(after, request.user, engine.get("version"))
    for path, rows in ((SUBUID, uid_map), (SUBGID, gid_map)):
        mapped = sum(count for unused, unused, count in rows)
        if mapped < MIN_IDS:
            found.blockers.append(
                f"{path} gives {request.user} {mapped} IDs, too few for images with files of nobody (65534); raise the count of its line "
                f"to {MIN_IDS} or more"
            )
    migrate = data_guard.guard(found, observed, desired, (uid_map, gid_map))
    found.notices += decision.notes
    found.changes = _changes(decision, seen)
    if here.get("sssd") and any(change.path == SUBUID for change in found.changes):
        found.warnings.append(
            "sssd is set up on this host: by default it gives directory accounts IDs from 200000 on "
            "(man 5 sssd-ldap: ldap_idmap_range_min); make sure that none falls into the new range"
        )
    found.apply = {"subject": LAYER, "ranges": [_as_argument(entry) for entry in requests]}
    if migrate:
        found.apply["migrate"] = True
    found.daemon_keys = {"userns-remap": value}


def _switch_off(found: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], seen: SubidState) -> None:
    """Take back what is ours; what belongs to a root that is still there stays reserved, as its files are owned by those IDs."""
    here = observed["layers"][LAYER]
    memory = (here.get("state") or {}).get("users", {})
    data_guard.guard_switching_off(found, observed, desired)
    requests = _releases(memory, observed, keep="")
    held = sorted(set(memory) - {request.user for request in requests})
    if held:
        names = ", ".join(held)
        found.notices.append(
            f"the subordinate ranges of {names} stay reserved while a root of the engine with files of theirs lies under "
            f"{here['data_root']}"
        )
    if requests:
        decision = decide_ranges(requests, seen.subuid, seen.subgid, seen.accounts, memory)
        found.notices += decision.notes
        found.changes = _changes(decision, seen)
        found.apply = {"subject": LAYER, "ranges": [_as_argument(entry) for entry in requests]}


def _request(desired: Mapping[str, Any], here: Mapping[str, Any], seen: SubidState) -> tuple[UserRequest, str]:
    """What the module is asked for, and the value of `userns-remap`.

    Without a group in it, the engine wants a group of the user's name to exist, though it takes nothing from it
    (moby daemon/daemon_unix.go, parseRemappedRoot); where an existing user has none, its primary group is named instead of making one.
    """
    setting = desired["userns_remap_user"]
    user, group = parse_remap_user(setting)
    value = setting
    if user == DEFAULT_USER and not group:
        group = DEFAULT_USER
        if here.get("configured") in ("default", DEFAULT_USER):
            value = here["configured"]  # two spellings of the same
    elif not group and user in seen.accounts.uids and user not in seen.accounts.gids:
        primary = here.get("primary_groups", {}).get(user)
        group = next((name for name, gid in seen.accounts.gids.items() if gid == primary), user)
        value = f"{user}:{group}"
    wish = RangeRequest(
        user,
        desired["userns_remap_range_start"],
        desired["userns_remap_range_size"],
        bool(desired.get("userns_remap_range_exact")),
        start_name="userns_remap_range_start",
    )
    return UserRequest(wish, group, create=True), value


def _releases(memory: Mapping[str, Any], observed: Mapping[str, Any], keep: str) -> list[UserRequest]:
    """What we gave to users other than `keep` and nothing needs any more: no engine is remapped to it or find_configured_remap for it, and no
    root with its files lies on the disk."""
    here, engine = observed["layers"][LAYER], observed["engine"]
    setting = find_configured_remap(observed)
    roots = {root["remapped"] for root in here.get("roots", ()) if root["remapped"]} | {engine.get("remapped")}
    starts = {int(name.partition(".")[0]) for name in roots if name}
    free = [
        user
        for user, entry in sorted(memory.items())
        if user not in (keep, setting and parse_remap_user(setting)[0]) and not any(start in starts for start, unused in parse_pairs(entry.get(SUBUID)))
    ]
    return [UserRequest(RangeRequest(user), present=False) for user in free]


def _report_malformed(found: LayerPlan, seen: SubidState, version: str | None) -> None:
    """Lines that give nobody a range: harmless to some engines, fatal to others."""
    for file in (seen.subuid, seen.subgid):
        for line in file.problems():
            sentence = f"{file.locate(line)} {line.problem}"
            if sentence in found.blockers:
                continue
            if line.stops_engines and (parse_major(version) or 0) < 28:
                found.blockers.append(f"{sentence}; with such a line engines before 28 don't start under userns-remap")
            else:
                found.warnings.append(f"{sentence}; it gives nobody a range as it is")


def _changes(decision: SubidDecision, seen: SubidState) -> list[Change]:
    changes = [
        Change("/etc/group", f"group {name} is created", "", f"{name}\n") for name in decision.groups if name not in _new_users(decision)
    ]
    changes += [Change("/etc/passwd", f"system user {name} is created", "", f"{name}\n") for name in _new_users(decision)]
    changes += [Change("/etc/passwd", f"user {name} is removed", f"{name}\n", "") for name in decision.removed_users]
    for before, after in ((seen.subuid, decision.subuid), (seen.subgid, decision.subgid)):
        if before.text() != after.text():
            changes.append(Change(before.path, _summary(before, after), before.text(), after.text()))
    return changes


def _new_users(decision: SubidDecision) -> list[str]:
    return [request.user for request in decision.users]


def _summary(before: SubidFile, after: SubidFile) -> str:
    old, new = ({line.text for line in file.ranges} for file in (before, after))
    words = [f"add {text}" for text in sorted(new - old)] + [f"remove {text}" for text in sorted(old - new)]
    return f"{before.path}: {', '.join(words)}"


def _as_argument(request: UserRequest) -> dict[str, Any]:
    """A request in the words of the module subid_range."""
    if not request.present:
        return {"user": request.user, "state": "absent"}
    wish = request.range
    return {
        "user": wish.user,
        "group": request.group or None,
        "start": wish.start,
        "size": wish.count,
        "exact": wish.exact,
        "create": request.create,
        "state": "present",
    }
