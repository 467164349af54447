# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges all tasks of a container: each distinct state of its processes and threads. The worst one decides. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .verdict import SEVERITY, ContainerVerdict, Finding, Verdict

JudgeState = Callable[[Verdict, Mapping[str, Any], str], Any]


def list_states(container: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the distinct states of the container's tasks, as host/process.py reads them; that of its first process comes first."""
    return container.get("states") or [container["kernel"]]


def name_state(container: Mapping[str, Any], kernel: Mapping[str, Any]) -> str:
    """Return who has this state: `container web`, `process 42 (sh) of container web` or `thread 43 of process 42 (sh) of container web`."""
    name = f"container {container['name']}"
    if kernel["pid"] == container["pid"] and not kernel.get("tid"):
        return name
    process = f"process {kernel['pid']} ({kernel.get('command') or '?'}) of {name}"
    return f"thread {kernel['tid']} of {process}" if kernel.get("tid") else process


def get_proc_folder(kernel: Mapping[str, Any]) -> str:
    """Return the folder in /proc of the task that has this state."""
    return f"/proc/{kernel['pid']}/task/{kernel['tid']}" if kernel.get("tid") else f"/proc/{kernel['pid']}"


def judge_states(verdict: ContainerVerdict, container: Mapping[str, Any], judge_state: JudgeState) -> None:
    """Judge each state with `judge_state(verdict, kernel, who)` and add one finding per ID: the worst, and of equals the first.

    The evidence of the first process is always added, that of others only with a finding.
    """
    worst: dict[str, Finding] = {}
    for number, kernel in enumerate(list_states(container)):
        own = Verdict(verdict.layer, verdict.expected)
        judge_state(own, kernel, name_state(container, kernel))
        worse = [finding for finding in own.findings if finding.id not in worst or _rank(finding) > _rank(worst[finding.id])]
        worst.update({finding.id: finding for finding in worse})
        if number == 0 or worse:
            verdict.evidence += own.evidence
    verdict.findings += worst.values()


def _rank(finding: Finding) -> int:
    return SEVERITY[finding.status] if finding.status else -1
