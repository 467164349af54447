# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans owner, group and mode of the engine's files. Pure; control node only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine.instance import get_observed_instance
from ..verdict import DISABLED, Change, LayerPlan
from .rules import GROUP, KEEP, KINDS, LAYER, SWITCH, Access, find_name, format_access, list_accesses, list_kept

_READ, _WRITE = 0o4, 0o2


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan a change per file that is more open than needed, or has another owner. A file that is stricter stays as it is."""
    state = observed["layers"][LAYER]
    planned = LayerPlan(LAYER, desired[SWITCH])
    if state["error"]:
        planned.blockers.append(state["error"])
        return planned
    ids = observed["layers"]["userns"]["uids"], observed["layers"]["userns"]["gids"]
    disabled, keep = planned.requirement == DISABLED, set(list_kept(desired))
    accesses = {access.path: access for access in list_accesses(observed, desired[GROUP])}
    steps, restored = [], []
    if not disabled:
        planned.blockers += _find_blockers(desired, ids[1])
        steps = [step for access in accesses.values() if (step := _plan_step(planned, observed, access, keep, ids))]
        _describe_socket(planned, accesses, state, ids[1])
    for path, known in sorted(state["managed"].items()):
        access = accesses.get(path)
        if not (disabled or path in keep):
            continue
        restored.append(path)
        if access and list(access.now) == known["after"] and known["before"] != known["after"]:
            before, after = format_access(access.now, *ids), format_access(tuple(known["before"]), *ids)
            planned.changes.append(Change(path, f"restore {after} (now {before})", f"{before}\n", f"{after}\n"))
        else:
            planned.changes.append(Change(path, "is no longer managed, and stays as it is", "", ""))
    if planned.changes:
        planned.apply = {"files": steps, "restore": restored, "user": get_observed_instance(observed).user}
    return planned


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification expects: the group that may use the engine's socket, and the files that the role leaves alone."""
    return {"group": desired[GROUP], "keep": list_kept(desired)}


def _find_blockers(desired: Mapping[str, Any], gids: Mapping[str, int]) -> list[str]:
    """Return why the variables cannot be applied. The group `docker` may be missing: the socket is root's then."""
    group = desired[GROUP]
    found = [
        f"{KEEP}: {path!r} is not an absolute path; write one that begins with /" for path in desired[KEEP] if not path.startswith("/")
    ]
    if group != "docker" and group not in gids:
        found.append(f"{GROUP}: {group!r} is not a group in /etc/group of this host; create it first, or write docker")
    return found


def _plan_step(
    planned: LayerPlan, observed: Mapping[str, Any], access: Access, keep: set[str], ids: tuple[Mapping[str, int], Mapping[str, int]]
) -> dict[str, Any] | None:
    """Return an entry for the module's list and add its change to the plan; None if nothing must or may change."""
    if access.is_owned and not access.excess:
        return None
    after = access.now[2] & access.mode
    target = _keep_settled(planned, access, (*access.now[:2], after) if access.own else (access.uid, access.gid, after), ids)
    if target == access.now:
        return None
    now, then = format_access(access.now, *ids), format_access(target, *ids)
    fixed = (observed["daemon_json"].get("fixed") or "") if access.kind == "config" else ""
    other_owner = "belongs to another user than the engine" if access.own and access.now[0] != access.uid else ""
    reason = (
        "is listed in docker_files_keep" if access.path in keep else access.shared or other_owner or fixed.removeprefix(f"{access.path}: ")
    )
    if reason:
        planned.warnings.append(f"{access.path} ({KINDS[access.kind].title}) stays {now} instead of {then}: it {reason}")
        return None
    planned.changes.append(Change(access.path, f"{now} becomes {then}", f"{now}\n", f"{then}\n"))
    lost = _describe_lost(access, target, ids)
    if lost:
        also = ", also from containers that mount it" if access.kind == "socket" else ""
        planned.warnings.append(
            f"{access.path} ({KINDS[access.kind].title}): {lost}{also}; to leave it as it is, add the path to docker_files_keep"
        )
    return {"path": access.path, "mode": f"{target[2]:04o}", "uid": target[0], "gid": target[1]}


def _keep_settled(
    planned: LayerPlan, access: Access, target: tuple[int, int, int], ids: tuple[Mapping[str, int], Mapping[str, int]]
) -> tuple[int, int, int]:
    """Return the access without the changes that the next start would undo, each of which is a warning: the setting has to be corrected."""
    uid, gid, mode = access.now
    texts = (f"owner {find_name(ids[0], uid)}", f"group {find_name(ids[1], gid)}", f"mode {mode:04o}")
    parts = list(target)
    for part, setting in access.settled.items():
        if target[part] != access.now[part]:
            parts[part] = access.now[part]
            also = f", or write {GROUP}: {find_name(ids[1], gid)}" if part == 1 and access.kind == "socket" else ""
            planned.warnings.append(f"{access.path} keeps {texts[part]}, which {setting} sets at each start; correct that setting{also}")
    return parts[0], parts[1], parts[2]


def _describe_lost(access: Access, target: tuple[int, int, int], ids: tuple[Mapping[str, int], Mapping[str, int]]) -> str:
    """Return who loses rights over a file, such as `alice can no longer write it`; empty if only root does."""
    uid, gid, mode = access.now
    others, parties = target[2] & 0o7, []
    if uid != 0:
        parties.append((f"user {find_name(ids[0], uid)}", mode >> 6 & ~(target[2] >> 6 if uid == target[0] else others)))
    if gid != 0:
        parties.append((f"group {find_name(ids[1], gid)}", mode >> 3 & ~(target[2] >> 3 if gid == target[1] else others)))
    parties.append(("other users", mode & ~others))
    texts = []
    for who, bits in parties:
        words = " or ".join(word for bit, word in ((_READ, "read"), (_WRITE, "write")) if bits & bit)
        if words:
            texts.append(f"{who} can no longer {'use' if access.kind.endswith('socket') else words} it")
    return ", ".join(texts)


def _describe_socket(planned: LayerPlan, accesses: Mapping[str, Access], state: Mapping[str, Any], gids: Mapping[str, int]) -> None:
    """Add who can use the engine by its socket."""
    for access in accesses.values():
        gid = access.now[1]
        if access.kind == "socket" and gid and access.now[2] & 0o020 and state["members"].get(str(gid)):
            members = state["members"][str(gid)].replace(",", ", ")
            planned.notices.append(
                f"{access.path}: members of group {find_name(gids, gid)} can use the engine, which makes them root: {members}"
            )
