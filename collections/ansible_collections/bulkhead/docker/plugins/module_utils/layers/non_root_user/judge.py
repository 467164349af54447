# SPDX-License-Identifier: GPL-3.0-or-later
"""Non-root user: the users and groups that a container's processes run as, seen from inside its user namespace. The engine has no default for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..identity import read_identity
from ..states import get_proc_folder, judge_states
from ..verdict import ABSENT, DEGRADED, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict

LAYER = __package__.rpartition(".")[2]
_IDS = 4  # real, effective, saved and file system UID


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Record the probe's user; the engine has no default to judge."""
    verdict = Verdict(LAYER, "set by each container; no engine has a default for it")
    probe = evidence.get("probe")
    if probe and "uid" in probe["kernel"]:
        verdict.add_evidence(f"/proc/{probe['kernel']['pid']}/status Uid", probe["kernel"]["uid"])
    return verdict.conclude(NOT_APPLICABLE)


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by all users and groups of its processes: root's UID is `absent`, group 0 without it is `degraded`."""
    verdict = ContainerVerdict(LAYER, "no process has UID 0 or group 0 in the container's user namespace")
    first = read_identity(container["kernel"], container["kernel"])
    asked = container["inspect"].get("User", "").split(":")[0]
    if first.root_uids and asked not in ("", "0", "root"):
        verdict.disagreements.append(f"docker inspect says user {asked}, the kernel shows root")
    if len(first.root_uids) == _IDS:  # it runs as root, and no other process can be worse
        _add_evidence(verdict, container["kernel"])
        return verdict.conclude(ABSENT)
    judge_states(verdict, container, lambda own, kernel, who: _judge_state(own, kernel, who, container["kernel"]))
    return verdict.conclude()


def _judge_state(verdict: Verdict, kernel: Mapping[str, Any], who: str, mapped: Mapping[str, Any]) -> None:
    identity = read_identity(kernel, mapped)
    _add_evidence(verdict, kernel)
    if identity.unknown:
        verdict.add_finding("unread", f"the user of {who} is not known: {'; '.join(identity.unknown)}", UNKNOWN)
    if identity.root_uids:
        verdict.add_finding(
            "root", f"{who} is root: {', '.join(identity.root_uids)} 0", ABSENT, "run it with a user, such as --user 1000:1000"
        )
    elif identity.root_gids:
        text = f"{who} is in group 0, to which files of root belong: {', '.join(identity.root_gids)}"
        verdict.add_finding("root_group", text, DEGRADED, "run it with a user and a group, such as --user 1000:1000")


def _add_evidence(verdict: Verdict, kernel: Mapping[str, Any]) -> None:
    for key, field in (("uid", "Uid"), ("gid", "Gid"), ("groups", "Groups")):
        if key in kernel:
            verdict.add_evidence(f"{get_proc_folder(kernel)}/status {field}", kernel[key])
