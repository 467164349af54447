# SPDX-License-Identifier: GPL-3.0-or-later
"""The default PIDs limit, verified by pids.max of a container's cgroup; `HostConfig.PidsLimit` of docker inspect is not evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..verdict import ABSENT, DEGRADED, DISABLED, NOT_APPLICABLE, OPTIONAL, UNKNOWN, ContainerVerdict, Verdict
from .settings import DROP_IN, LAYER, explain_obstacle, find_lowest_limit, is_key_supported

_REAPPLY = "run harden.yml, or systemctl daemon-reload if the drop-in is in place"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the default by the probe, which sets no limit."""
    limit = expect.get("limit")
    if expect.get("requirement") == DISABLED or limit is None:
        verdict = Verdict(LAYER, "no default PIDs limit is required")
        _read_max(verdict, evidence.get("probe"))
        verdict.findings.clear()
        return verdict.conclude(NOT_APPLICABLE)
    verdict = Verdict(LAYER, f"pids.max {limit} for a container that sets no limit")
    if expect.get("requirement") == OPTIONAL and not is_key_supported(evidence["observed"]) and explain_obstacle(evidence["observed"]):
        verdict.add_finding("impossible", explain_obstacle(evidence["observed"]))
        return verdict.conclude(NOT_APPLICABLE)
    probe = evidence.get("probe")
    was_read, maximum, group = _read_max(verdict, probe)
    whose = f"pids.max of {group or 'the probe'}"
    if was_read and maximum is None:
        verdict.add_finding("unlimited", f"{whose} is max: a container may start as many tasks as the host allows", ABSENT, _REAPPLY)
    elif was_read and maximum is not None and maximum > limit:
        verdict.add_finding("too_high", f"{whose} is {maximum} instead of {limit}", ABSENT, _REAPPLY)
    elif was_read and maximum is not None and maximum < limit:
        verdict.add_finding("stricter", f"{whose} is {maximum}, stricter than the desired {limit}")
    _judge_drop_ins(verdict, evidence["observed"], limit, is_met=was_read and maximum is not None and maximum <= limit)
    if probe is None:
        return verdict.conclude(UNKNOWN)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by its own limit, or by the default if it has none."""
    limit = None if expect.get("requirement") == DISABLED else expect.get("limit")
    asked = container["inspect"]["HostConfig"].get("PidsLimit")
    own = asked if asked and asked > 0 else None
    name = container["name"]
    desired = f"pids.max {own}, its own limit" if own else (f"pids.max {limit}" if limit else "no limit is required")
    verdict = ContainerVerdict(LAYER, desired, opted_out=asked == -1)
    was_read, maximum, group = _read_max(verdict, container)
    verdict.add_evidence("docker inspect HostConfig.PidsLimit", asked)
    if not was_read:
        return verdict.conclude(UNKNOWN)
    pids = container["kernel"]["pids"]
    shown = _format(maximum) + (f" by {group}" if group else "")
    if own and pids["max"] != own:
        verdict.disagreements.append(f"docker inspect says PidsLimit {own}, the kernel's pids.max is {_format(pids['max'])}")
        weaker = maximum is None or maximum > own
        verdict.add_finding(
            "not_its_own",
            f"container {name} requests {own} and pids.max is {shown}",
            DEGRADED if weaker else None,
            f"docker update --pids-limit {own} {name}",
        )
    elif asked == -1 and pids["max"] is not None:
        verdict.disagreements.append(f"docker inspect says PidsLimit -1 (none), the kernel's pids.max is {_format(pids['max'])}")
    if limit and not own:
        if maximum is None or maximum > limit:
            why = "it sets no limit (--pids-limit -1)" if verdict.opted_out else "the default does not apply to it"
            verdict.add_finding(
                "above_default",
                f"container {name}: pids.max is {shown} instead of {limit}; {why}",
                ABSENT,
                f"docker update --pids-limit {limit} {name}",
            )
        elif maximum < limit:
            verdict.add_finding("stricter", f"container {name}: pids.max is {shown}, stricter than the default of {limit}")
    current = pids.get("current")
    if maximum is not None and current is not None and current >= maximum:
        verdict.add_finding("used_up", f"container {name} has {current} of {maximum} tasks and cannot start another one")
    return verdict.conclude() if limit or own else verdict.conclude(NOT_APPLICABLE)


def _format(maximum: int | None) -> str:
    return "max" if maximum is None else str(maximum)


def _read_max(verdict: Verdict, container: Mapping[str, Any] | None) -> tuple[bool, int | None, str]:
    """Return whether pids.max was read, the limit in effect (None: max), and the file of the ancestor that sets it; empty for the own group."""
    if container is None:
        return False, None, ""
    pids = container["kernel"].get("pids")
    if not pids:
        reason = "; ".join(
            f"{source}: {error}" for source, error in container["kernel"].get("unreadable", {}).items() if "cgroup" in source
        )
        text = f"pids.max of {container['name']} could not be read" + (f" ({reason})" if reason else "")
        verdict.add_finding("unread", text, UNKNOWN)
        return False, None, ""
    verdict.add_evidence(pids["source"], _format(pids["max"]) if pids["max"] is None else pids["max"])
    lowest = find_lowest_limit(pids)
    if lowest["source"] == pids["source"]:
        return True, pids["max"], ""
    verdict.add_evidence(lowest["source"], lowest["max"])
    return True, lowest["max"], lowest["source"]


def _judge_drop_ins(verdict: Verdict, observed: Mapping[str, Any], limit: int, is_met: bool) -> None:
    """Judge what the next daemon-reload or boot applies, which can differ from the current limit."""
    if is_key_supported(observed):
        return
    state = observed["layers"][LAYER]
    managed, drop_ins = state["drop_in"], state["drop_ins"]
    verdict.add_evidence(managed["path"], f"TasksMax={managed['tasks_max']}" if managed["exists"] else "the file does not exist")
    last = next((entry for entry in reversed(drop_ins) if entry["tasks_max"] is not None), None)
    if last is None:
        until = "the next daemon-reload removes the limit" if is_met else "nothing sets the limit"
        verdict.add_finding(
            "drop_in_missing",
            f"{managed['path']} does not exist, and no other drop-in of the scopes sets TasksMax: {until}",
            DEGRADED,
            "run harden.yml",
        )
    elif last["tasks_max"] != str(limit):
        text = f"{last['path']}: TasksMax={last['tasks_max']} overrides the desired {limit}"
        verdict.add_finding(
            "overridden" if not last["is_managed"] else "drop_in_differs",
            text,
            DEGRADED,
            "remove it, or the line" if not last["is_managed"] else "run harden.yml",
        )
    elif not last["is_managed"]:
        verdict.add_finding("elsewhere", f"the limit is set by {last['path']}, not by {DROP_IN}")
    for entry in drop_ins:
        if entry["tasks_max"] is not None and entry["name"] > "50-TasksMax.conf":
            verdict.add_finding(
                "after_transient",
                f"{entry['path']} is read after systemd's 50-TasksMax.conf: each daemon-reload overwrites the limits that containers set",
                DEGRADED,
                "give the file a number below 50",
            )
