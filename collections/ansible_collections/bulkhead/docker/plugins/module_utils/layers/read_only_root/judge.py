# SPDX-License-Identifier: GPL-3.0-or-later
"""Read-only root: whether a container sees its / mounted read-only, from /proc/PID/mountinfo. The engine has no default for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..states import get_proc_folder, judge_states
from ..verdict import ABSENT, ENFORCED, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict

LAYER = __package__.rpartition(".")[2]


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Record the probe's root; the engine has no default to judge."""
    verdict = Verdict(LAYER, "set by each container; no engine has a default for it")
    probe = evidence.get("probe")
    if probe:
        verdict.add_evidence(f"/proc/{probe['kernel']['pid']}/mountinfo /", "ro" if probe["kernel"].get("root_read_only") else "rw")
    return verdict.conclude(NOT_APPLICABLE)


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by the mounts of its processes. A writable root that was not excluded has no finding."""
    verdict = ContainerVerdict(LAYER, "/ mounted read-only")
    is_read_only = container["kernel"].get("root_read_only")
    asked = bool(container["inspect"]["HostConfig"].get("ReadonlyRootfs"))
    if asked and is_read_only is False:
        verdict.disagreements.append("docker inspect says ReadonlyRootfs, the kernel has / writable")
    judge_states(verdict, container, lambda own, kernel, who: _judge_state(own, kernel, who, asked, is_read_only is not False))
    return verdict.conclude(ABSENT if is_read_only is False else ENFORCED)


def _judge_state(verdict: Verdict, kernel: Mapping[str, Any], who: str, asked: bool, expected: bool) -> None:
    read_only = kernel.get("root_read_only")
    if read_only is None:
        verdict.add_finding("unread", f"the mounts of {who} could not be read", UNKNOWN)
        return
    verdict.add_evidence(f"{get_proc_folder(kernel)}/mountinfo /", "ro" if read_only else "rw")
    if not read_only and asked:
        verdict.add_finding("writable", f"{who} requests a read-only root and has a writable one", ABSENT)
    elif not read_only and expected:
        verdict.add_finding("writable", f"{who} has a writable root, unlike the container's first process", ABSENT)
