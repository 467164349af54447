# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges owner, group and mode of the engine's files and sockets, from the files themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..verdict import DEGRADED, DISABLED, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict
from .rules import DEFAULT_GROUP, KINDS, LAYER, Access, find_name, format_access, list_accesses

_RUN_AGAIN = "run harden.yml"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge owner, group, mode and access control lists of the engine's files."""
    observed = evidence["observed"]
    state, group = observed["layers"][LAYER], expect.get("group") or DEFAULT_GROUP
    disabled = expect.get("requirement") == DISABLED
    verdict = Verdict(
        LAYER, "owner, group and mode are not required" if disabled else f"root owns them, and only group {group} may use the socket"
    )
    ids = observed["layers"]["userns"]["uids"], observed["layers"]["userns"]["gids"]
    for access in list_accesses(observed, group):
        verdict.add_evidence(f"stat -L {access.path}", format_access(access.now, *ids), headline=access.kind == "socket")
        if not disabled:
            _judge_owner(verdict, access, ids, set(expect.get("keep") or ()))
            _judge_mode(verdict, access, set(expect.get("keep") or ()))
            if access.state["acl"]:
                text = f"{access.path}: an access control list grants rights to more users or groups than its mode shows"
                verdict.add_finding("acl", text, DEGRADED, f"getfacl {access.path}; setfacl -b {access.path}")
    for path, entry in state["files"].items():
        if "error" in entry and not disabled:
            verdict.add_finding("unread", f"{path}: its owner and mode cannot be read ({entry['error']})", UNKNOWN, f"ls -l {path}")
    return verdict.conclude(NOT_APPLICABLE if disabled or not state["files"] else "enforced")


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Return that no container has this layer: it is the host's."""
    return ContainerVerdict(LAYER, "this layer applies to the host, not to containers").conclude(NOT_APPLICABLE)


def _judge_owner(verdict: Verdict, access: Access, ids: tuple[Mapping[str, int], Mapping[str, int]], keep: set[str]) -> None:
    if access.is_owned:
        return
    user, group = find_name(ids[0], access.uid), find_name(ids[1], access.gid)
    texts = []
    if access.now[0] != access.uid:
        texts.append(f"is owned by {find_name(ids[0], access.now[0])}, not by {user}")
    if access.now[1] != access.gid:
        texts.append(f"has group {find_name(ids[1], access.now[1])}, not {group}")
    command = f"chown {user}:{group} {access.state['target'] or access.path}"
    text = f"{_name(access)} {' and '.join(texts)}"
    parts = tuple(part for part, rule in enumerate((access.uid, access.gid)) if access.now[part] != rule)
    verdict.add_finding(f"{access.kind}_owner", text, DEGRADED, command if access.own else _choose_remedy(access, command, keep, parts))


def _judge_mode(verdict: Verdict, access: Access, keep: set[str]) -> None:
    if not access.excess:
        return
    command = f"chmod {access.mode:04o} {access.state['target'] or access.path}"
    text = f"{_name(access)} has mode {access.now[2]:04o}, and at most {KINDS[access.kind].mode:04o} is needed"
    verdict.add_finding(f"{access.kind}_mode", text, DEGRADED, _choose_remedy(access, command, keep, (2,)))


def _name(access: Access) -> str:
    link = f", {access.state['target']}" if access.state["target"] else ""
    return f"{access.path}{link} ({KINDS[access.kind].title})"


def _choose_remedy(access: Access, command: str, keep: set[str], parts: tuple[int, ...]) -> str:
    """Return how the file is corrected: by hand, if the role leaves it alone. parts: which of uid, gid and mode are wrong."""
    settings = " and ".join(access.settled[part] for part in parts if part in access.settled)
    if settings:
        return f"correct {settings}, which is applied at each start, then: {command}"
    return command if access.shared or access.path in keep else f"{_RUN_AGAIN}, or: {command}"
