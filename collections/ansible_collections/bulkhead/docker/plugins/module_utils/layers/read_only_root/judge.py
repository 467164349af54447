# SPDX-License-Identifier: GPL-3.0-or-later
"""Read-only root: whether a container sees its / mounted read-only, from /proc/PID/mountinfo. The engine has no default for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..verdict import ABSENT, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict

LAYER = "read_only_root"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Record the probe's root; the engine has no default to judge."""
    verdict = Verdict(LAYER, "set by each container; no engine has a default for it")
    probe = evidence.get("probe")
    if probe:
        verdict.add_evidence(f"/proc/{probe['kernel']['pid']}/mountinfo /", "ro" if probe["kernel"].get("root_read_only") else "rw")
    return verdict.conclude(NOT_APPLICABLE)


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by its mounts."""
    kernel = container["kernel"]
    verdict = ContainerVerdict(LAYER, "/ mounted read-only")
    read_only = kernel.get("root_read_only")
    if read_only is None:
        verdict.add_finding("unread", f"the mounts of container {container['name']} could not be read", UNKNOWN)
        return verdict.conclude()
    verdict.add_evidence(f"/proc/{kernel['pid']}/mountinfo /", "ro" if read_only else "rw")
    asked = bool(container["inspect"]["HostConfig"].get("ReadonlyRootfs"))
    if asked and not read_only:
        verdict.disagreements.append("docker inspect says ReadonlyRootfs, the kernel has / writable")
        verdict.add_finding("writable", f"container {container['name']} requests a read-only root and has a writable one", ABSENT)
    return verdict.conclude() if read_only else verdict.conclude(ABSENT)
