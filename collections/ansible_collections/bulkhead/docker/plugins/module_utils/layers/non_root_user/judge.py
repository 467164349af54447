# SPDX-License-Identifier: GPL-3.0-or-later
"""Non-root user: the user that a container's first process runs as, seen from inside its user namespace. The engine has no default for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...host.process_status import map_to_inside
from ..verdict import ABSENT, ENFORCED, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict

LAYER = "non_root_user"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Record the probe's user; the engine has no default to judge."""
    verdict = Verdict(LAYER, "set by each container; no engine has a default for it")
    probe = evidence.get("probe")
    if probe and "uid" in probe["kernel"]:
        verdict.add_evidence(f"/proc/{probe['kernel']['pid']}/status Uid", probe["kernel"]["uid"])
    return verdict.conclude(NOT_APPLICABLE)


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by the user of its first process."""
    kernel = container["kernel"]
    verdict = ContainerVerdict(LAYER, "first process not root in its own user namespace")
    uid = kernel.get("uid", [None])[0]
    inside = None if uid is None else map_to_inside(uid, kernel.get("uid_map", []))
    if inside is None:
        verdict.add_finding("unread", f"the user of container {container['name']} could not be read", UNKNOWN)
        return verdict.conclude()
    verdict.add_evidence(f"/proc/{kernel['pid']}/status Uid", kernel["uid"])
    asked = container["inspect"].get("User", "").split(":")[0]
    if inside == 0 and asked not in ("", "0", "root"):
        verdict.disagreements.append(f"docker inspect says user {asked}, the kernel shows root")
    return verdict.conclude(ABSENT if inside == 0 else ENFORCED)
