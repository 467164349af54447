# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans user namespaces: the user, its subordinate ranges, and the data that a change of the data root hides. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...engine.instance import get_observed_instance
from ...host.accounts import CONFIG, parse_id
from ...subid.allocate import DEFAULT_START, RangeRequest, describe_bounds_problem
from ...subid.decide import SubidDecision, UserRequest, decide_ranges, parse_pairs
from ...subid.mapping import (
    MIN_IDS,
    Map,
    SubidState,
    build_expected_maps,
    explain_unsupported,
    find_configured_remap,
    find_subid_services,
    name_data_root,
    parse_state,
    resolve_remap,
)
from ...subid.notes import add_notes
from ...subid.ranges import SUBGID, SUBUID, SubidFile
from ...subid.remap_user import DEFAULT_USER, parse_major, parse_remap_user
from ..registry import SWITCHES
from ..verdict import DISABLED, Change, Effect, LayerPlan
from . import data_guard, plan_switch
from .plan_known_ranges import choose_avoided, is_of_sssd, list_unread, settle_start

LAYER = __package__.rpartition(".")[2]
NOT_WITH_ROOTLESS = "a rootless engine does not start with userns-remap, and does not need it; write userns_remap_layer: disabled"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_WRITE_USER = "write default, a name, name:group, or the ID of a user of the host"


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification expects of the kernel."""
    return {
        "requirement": desired[SWITCHES[LAYER]],
        "user": parse_remap_user(desired["userns_remap_user"])[0],  # an ID is resolved when it is judged
        "size": desired["userns_remap_range_size"],
        "start": desired["userns_remap_range_start"] if desired.get("userns_remap_range_exact") else None,
    }


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan user, ranges and data root for the remapping; if the layer is disabled, the removal of what Bulkhead created."""
    result = LayerPlan(LAYER, desired[SWITCHES[LAYER]])
    if get_observed_instance(observed).rootless:
        # The ranges of the rootful engine are kept for the time when it is used again.
        return result if result.requirement == DISABLED else result.mark_unsupported(NOT_WITH_ROOTLESS)
    here, engine = observed["layers"][LAYER], observed["engine"]
    unreadable = [f"{source} cannot be read: {error}" for source, error in here.get("unreadable", {}).items()]
    if result.requirement == DISABLED:
        result.warnings += unreadable
    else:
        result.blockers += unreadable + _check_variables(desired)
        reason = explain_unsupported(here)
        if reason:
            result.mark_unsupported(reason)
    if result.blockers or not result.applicable:
        return result
    subids = parse_state(here)
    if result.requirement == DISABLED:
        _plan_disabled(result, observed, desired, subids)
    else:
        _plan_enabled(result, observed, desired, subids)
    if result.blockers:
        kept = {name: getattr(result, name) for name in ("blockers", "warnings", "notices", "question")}
        return LayerPlan(LAYER, result.requirement, **kept)
    if engine.get("running") and not engine.get("remapped") and result.daemon_keys:
        text = "under userns-remap the engine does not start containers with --privileged, --network host or --pid host unless they have"
        result.effects.append(Effect(f"{text} --userns=host"))
    return result


def _check_variables(desired: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables, independent of the host."""
    problems = []
    user, group = parse_remap_user(desired["userns_remap_user"])
    if user == "root" or parse_id(user) == 0:
        problems.append(
            "userns_remap_user: root cannot be remapped to itself, because the engine then runs without user namespaces; "
            "write default, or another user"
        )
    elif not user or ":" in group or (":" in desired["userns_remap_user"] and not group):
        problems.append(f"userns_remap_user: {desired['userns_remap_user']!r} is not a user; {_WRITE_USER}")
    start, size = desired["userns_remap_range_start"], desired["userns_remap_range_size"]
    if size < MIN_IDS:
        problems.append(
            f"userns_remap_range_size: {size} is too few: images with files of nobody (65534) cannot be unpacked; write {MIN_IDS} or more"
        )
    elif start < 65536:
        problems.append(
            f"userns_remap_range_start: {start} is among the host's own accounts (0 to 65535); write 65536 or more, such as 231072"
        )
    elif describe_bounds_problem(start, size):
        problems.append(
            f"userns_remap_range_start: {start}, with userns_remap_range_size {size}, {describe_bounds_problem(start, size)}; write a smaller one"
        )
    if desired.get(plan_switch.TIMEOUT, 1) < 1:
        problems.append(f"{plan_switch.TIMEOUT}: {desired[plan_switch.TIMEOUT]} is not a number of seconds; write 1 or more")
    return problems


def _plan_enabled(result: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], subids: SubidState) -> None:
    here, engine = observed["layers"][LAYER], observed["engine"]
    result.blockers += _check_accounts(desired["userns_remap_user"], subids)
    if result.blockers:
        return
    request, value = _build_request(desired, here, subids)
    memory = (here.get("state") or {}).get("users", {})
    requests = [request, *_list_removals(memory, observed, keep=request.user)]
    decision = decide_ranges(requests, subids.subuid, subids.subgid, subids.accounts, memory, add_notes)
    result.blockers += decision.errors
    _report_malformed(result, subids, engine.get("version"))
    if result.blockers:
        return
    after = SubidState(decision.subuid, decision.subgid, subids.accounts)
    uid_map, gid_map = build_expected_maps(after, request.user, engine.get("version"))
    for path, rows in ((SUBUID, uid_map), (SUBGID, gid_map)):
        mapped = sum(count for unused, unused, count in rows)
        if mapped < MIN_IDS:
            result.blockers.append(
                f"{path} gives {request.user} {mapped} IDs, too few for images with files of nobody (65534); raise the count of its line "
                f"to {MIN_IDS} or more"
            )
    migrate = data_guard.guard_data(result, observed, desired, (uid_map, gid_map))
    if not result.blockers or desired["userns_remap_existing_data"] == "refuse":
        _plan_switch(result, observed, desired, (uid_map, gid_map), migrate)
    result.notices += decision.notes
    result.changes = _list_changes(decision, subids)
    if any(change.path == SUBUID for change in result.changes):
        _warn_of_directory(result, here)
        request = settle_start(result, here, request, decision)
        requests[0] = request
    result.apply = {"subject": LAYER, "ranges": [_build_argument(entry) for entry in requests]}
    if migrate:
        result.apply.update(migrate=True, uid_map=uid_map, gid_map=gid_map)
    result.daemon_keys = {"userns-remap": value}


def _plan_switch(result: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], maps: tuple[Map, Map], migrate: bool) -> None:
    """Ask what the switch does to containers and data, and judge the answer, if it is there (`observed["data"]`)."""
    if data_guard.find_current_root(observed) == name_data_root(*maps):
        return
    result.question = plan_switch.build_question(observed, desired, maps, migrate)
    answer = observed.get("data") or {}
    if result.question and answer.get("question") == result.question:
        plan_switch.judge_switch(result, answer, desired, result.question)


def _warn_of_directory(result: LayerPlan, here: Mapping[str, Any]) -> None:
    """Warn that accounts or ranges of a directory service may be in a new range."""
    unchecked = (here.get("directory") or {}).get("unchecked") or ()
    if unchecked:
        result.warnings.append(
            f"accounts of directory services were not compared with the new range ({'; '.join(unchecked)}); make sure that none is in it"
        )
    result.warnings += [f"{text}; make sure that the new range is outside of them" for text in list_unread(here)]
    sssd = [line for path, lines in (here.get("id_files") or {}).items() if is_of_sssd(path) for line in lines]
    if not unchecked and sssd and not any("id_provider" in line for line in sssd):
        result.warnings.append(
            "/etc/sssd/sssd.conf names no id_provider, so its domains are described elsewhere: by default sssd assigns accounts IDs from 200000"
            " on (man 5 sssd-ldap: ldap_idmap_range_min); make sure that none is in the new range"
        )
    services = find_subid_services(here)
    if services:
        result.warnings.append(
            f"{CONFIG} names {', '.join(services)} for subid: ranges that other users have from there are not in {SUBUID}, while the engine "
            f"reads only that file; make sure that none overlaps the new range (getsubids USER)"
        )


def _plan_disabled(result: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], subids: SubidState) -> None:
    """Plan the removal of what Bulkhead created. The ranges of a data root that still exists stay reserved, because its files have those owners."""
    here = observed["layers"][LAYER]
    memory = (here.get("state") or {}).get("users", {})
    data_guard.guard_disabling(result, observed, desired)
    requests = _list_removals(memory, observed, keep="")
    kept = sorted(set(memory) - {request.user for request in requests})
    if kept:
        names = ", ".join(kept)
        place = here["data_root"] or "the engine's data root, which is not known while the engine is stopped"
        result.notices.append(
            f"the subordinate ranges of {names} stay reserved while a data root with files of these owners exists below {place}"
        )
    if requests:
        decision = decide_ranges(requests, subids.subuid, subids.subgid, subids.accounts, memory)
        result.notices += decision.notes
        result.changes = _list_changes(decision, subids)
        result.apply = {"subject": LAYER, "ranges": [_build_argument(entry) for entry in requests]}


def _build_request(desired: Mapping[str, Any], here: Mapping[str, Any], subids: SubidState) -> tuple[UserRequest, str]:
    """Return the request to module subid_range, and the value of `userns-remap`.

    Without a group in the value, the engine requires a group of the user's name, though it does not use it (moby daemon/daemon_unix.go,
    parseRemappedRoot). For an existing user without such a group, the value names its primary group instead of creating one.
    """
    setting, configured = desired["userns_remap_user"], here.get("configured")
    user, group = resolve_remap(subids, setting)
    value, accounts = setting, subids.accounts
    if user == DEFAULT_USER and not group:
        group = DEFAULT_USER
    elif user in accounts.uids and (parse_id(group) is not None or (not group and user not in accounts.gids)):
        primary = _find_primary_group(here, user)
        group = next((name for name, gid in accounts.gids.items() if gid == primary), user)
        value = f"{parse_remap_user(setting)[0]}:{group}"
    if configured and value != configured and ":" not in setting:  # two spellings of the same, such as default, dockremap and its UID
        known, known_group = resolve_remap(subids, str(configured))
        if known == user and (user == DEFAULT_USER or (known_group or user) in accounts.gids):
            value, group = configured, known_group or group
    range_request = RangeRequest(
        user,
        desired["userns_remap_range_start"],
        desired["userns_remap_range_size"],
        bool(desired.get("userns_remap_range_exact")),
        start_name="userns_remap_range_start",
        avoid=choose_avoided(here, desired["userns_remap_range_start"], DEFAULT_START, bool(desired.get("userns_remap_range_exact"))),
    )
    return UserRequest(range_request, group, create=True), value


def _find_primary_group(here: Mapping[str, Any], user: str) -> int | None:
    rows = (here.get("named") or {}).get("users", {}).values()
    return next((row[2] for row in rows if row and row[0] == user), here.get("primary_groups", {}).get(user))


def _check_accounts(setting: str, subids: SubidState) -> list[str]:
    """Return why user and group of the value neither exist nor can be created. Users of directory services exist too."""
    (user, group), (asked, asked_group), accounts = resolve_remap(subids, setting), parse_remap_user(setting), subids.accounts
    for kind, name, known, database in (
        ("user", asked, user in accounts.uids, "passwd"),
        ("group", asked_group, group in accounts.gids, "group"),
    ):
        if known or not name:
            continue
        if parse_id(name) is not None:
            return [f"userns_remap_user: {setting}: no {kind} has the ID {name} on this host (getent {database} {name}); {_WRITE_USER}"]
        if not _NAME.fullmatch(name):
            return [f"userns_remap_user: {setting!r} is not a {kind} that this host has or could create; {_WRITE_USER}"]
    return []


def _list_removals(memory: Mapping[str, Any], observed: Mapping[str, Any], keep: str) -> list[UserRequest]:
    """Return requests to remove what Bulkhead gave to users other than `keep`, if nothing uses it.

    A user's ranges are in use while an engine is remapped to it or configured for it, or a data root with its files exists.
    """
    here, engine = observed["layers"][LAYER], observed["engine"]
    setting = find_configured_remap(observed)
    configured = resolve_remap(parse_state(here), setting)[0] if setting else None
    if not here["data_root"]:
        return []
    roots = {root["remapped"] for root in here.get("roots", ())} | {engine.get("remapped"), *here.get("used_roots", ())}
    starts = {int(name.partition(".")[0]) for name in roots if name}
    free = [
        user
        for user, entry in sorted(memory.items())
        if user not in (keep, configured) and not any(start in starts for start, unused in parse_pairs(entry.get(SUBUID)))
    ]
    return [UserRequest(RangeRequest(user), present=False) for user in free]


def _report_malformed(result: LayerPlan, subids: SubidState, version: str | None) -> None:
    """Report lines that give no range. Some engines ignore them, others do not start with them."""
    for file in (subids.subuid, subids.subgid):
        for line in file.problems():
            message = f"{file.locate(line)} {line.problem}"
            if message in result.blockers:
                continue
            if line.stops_every_engine:
                result.blockers.append(f"{message}; no engine starts under userns-remap with such a line")
            elif line.stops_engines and (parse_major(version) or 0) < 28:
                result.blockers.append(f"{message}; engines before 28 do not start under userns-remap with such a line")
            elif line.taken:
                result.notices.append(f"{message}; programs read it differently, so no ID of it is allocated")
            else:
                result.notices.append(f"{message}; it gives no range")


def _list_changes(decision: SubidDecision, subids: SubidState) -> list[Change]:
    changes = [
        Change("/etc/group", f"create group {name}", "", f"{name}\n") for name in decision.groups if name not in _list_new_users(decision)
    ]
    changes += [Change("/etc/passwd", f"create system user {name}", "", f"{name}\n") for name in _list_new_users(decision)]
    changes += [Change("/etc/passwd", f"remove user {name}", f"{name}\n", "") for name in decision.removed_users]
    for before, after in ((subids.subuid, decision.subuid), (subids.subgid, decision.subgid)):
        if before.text() != after.text():
            changes.append(Change(before.path, _summarize_change(before, after), before.text(), after.text()))
    return changes


def _list_new_users(decision: SubidDecision) -> list[str]:
    return [request.user for request in decision.users]


def _summarize_change(before: SubidFile, after: SubidFile) -> str:
    old, new = ({line.text for line in file.ranges} for file in (before, after))
    steps = [f"add {text}" for text in sorted(new - old)] + [f"remove {text}" for text in sorted(old - new)]
    return f"{before.path}: {', '.join(steps)}"


def _build_argument(request: UserRequest) -> dict[str, Any]:
    """Return a request as an entry of option `ranges` of module subid_range."""
    if not request.present:
        return {"user": request.user, "state": "absent"}
    range_request = request.range
    return {
        "user": range_request.user,
        "group": request.group or None,
        "start": range_request.start,
        "size": range_request.count,
        "exact": range_request.exact,
        "create": request.create,
        "state": "present",
    }
