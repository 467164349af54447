# SPDX-License-Identifier: GPL-3.0-or-later
"""The default PIDs limit, verified by pids.max of a container's cgroup; `HostConfig.PidsLimit` of docker inspect is not the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...engine_config import drop_in
from ..verdict import ABSENT, DEGRADED, DISABLED, NOT_APPLICABLE, OPTIONAL, UNKNOWN, ContainerVerdict, Verdict
from .plan import LAYER, knows_key, obstacle

_REAPPLY = "run the playbook again, or systemctl daemon-reload if the drop-in is in place"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """The host's default: what the probe, which sets no limit, got."""
    limit = expect.get("limit")
    if expect.get("requirement") == DISABLED or limit is None:
        verdict = Verdict(LAYER, "no default PIDs limit is asked for")
        _read_max(verdict, evidence.get("probe"))
        verdict.findings.clear()
        return verdict.conclude(NOT_APPLICABLE)
    verdict = Verdict(LAYER, f"pids.max {limit} for a container that sets no limit")
    if expect.get("requirement") == OPTIONAL and not knows_key(evidence["observed"]) and obstacle(evidence["observed"]):
        verdict.find("impossible", obstacle(evidence["observed"]))
        return verdict.conclude(NOT_APPLICABLE)
    probe = evidence.get("probe")
    seen, maximum = _read_max(verdict, probe)
    if seen and maximum is None:
        verdict.find(
            "unlimited", "pids.max of the probe is max: a container may start as many tasks as the host can hold", ABSENT, _REAPPLY
        )
    elif seen and maximum is not None and maximum > limit:
        verdict.find("too_high", f"pids.max of the probe is {maximum} instead of {limit}", ABSENT, _REAPPLY)
    elif seen and maximum is not None and maximum < limit:
        verdict.find("stricter", f"pids.max of the probe is {maximum}, stricter than the {limit} asked for")
    _look_at_drop_ins(verdict, evidence["observed"], limit, holds=seen and maximum is not None and maximum <= limit)
    if probe is None:
        return verdict.conclude(UNKNOWN)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """One container: its own limit where it has one, otherwise the default."""
    limit = None if expect.get("requirement") == DISABLED else expect.get("limit")
    asked = container["inspect"]["HostConfig"].get("PidsLimit")
    own = asked if asked and asked > 0 else None
    name = container["name"]
    desired = f"pids.max {own}, its own limit" if own else (f"pids.max {limit}" if limit else "no limit is asked for")
    verdict = ContainerVerdict(LAYER, desired, opted_out=asked == -1)
    seen, maximum = _read_max(verdict, container)
    verdict.saw("docker inspect HostConfig.PidsLimit", asked)
    if not seen:
        return verdict.conclude(UNKNOWN)
    shown = "max" if maximum is None else str(maximum)
    if own and maximum != own:
        verdict.disagreements.append(f"docker inspect says PidsLimit {own}, the kernel's pids.max is {shown}")
        weaker = maximum is None or maximum > own
        verdict.find(
            "not_its_own",
            f"container {name} asked for {own} and pids.max is {shown}",
            DEGRADED if weaker else None,
            f"docker update --pids-limit {own} {name}",
        )
    elif asked == -1 and maximum is not None:
        verdict.disagreements.append(f"docker inspect says PidsLimit -1 (none), the kernel's pids.max is {shown}")
    if limit and not own:
        if maximum is None or maximum > limit:
            why = "it asked for none (--pids-limit -1)" if verdict.opted_out else "the default does not hold for it"
            verdict.find(
                "above_default",
                f"container {name}: pids.max is {shown} instead of {limit}; {why}",
                ABSENT,
                f"docker update --pids-limit {limit} {name}",
            )
        elif maximum < limit:
            verdict.find("stricter", f"container {name}: pids.max is {shown}, stricter than the default of {limit}")
    current = container["kernel"]["pids"].get("current")
    if maximum is not None and current is not None and current >= maximum:
        verdict.find("used_up", f"container {name} has {current} of {maximum} tasks and can start no further one")
    return verdict.conclude() if limit or own else verdict.conclude(NOT_APPLICABLE)


def _read_max(verdict: Verdict, container: Mapping[str, Any] | None) -> tuple[bool, int | None]:
    """Whether pids.max was read, and what it says (None: max)."""
    if container is None:
        return False, None
    pids = container["kernel"].get("pids")
    if not pids:
        reason = "; ".join(
            f"{source}: {error}" for source, error in container["kernel"].get("unreadable", {}).items() if "cgroup" in source
        )
        text = f"pids.max of {container['name']} could not be read" + (f" ({reason})" if reason else "")
        verdict.find("unread", text, UNKNOWN)
        return False, None
    verdict.saw(pids["source"], "max" if pids["max"] is None else pids["max"])
    return True, pids["max"]


def _look_at_drop_ins(verdict: Verdict, observed: Mapping[str, Any], limit: int, holds: bool) -> None:
    """What will hold after the next daemon-reload or boot, which need not be what holds now."""
    if knows_key(observed):
        return
    state = observed["layers"][LAYER]
    ours, all_of_them = state["drop_in"], state["drop_ins"]
    verdict.saw(ours["path"], f"TasksMax={ours['tasks_max']}" if ours["exists"] else "no such file")
    last = next((entry for entry in reversed(all_of_them) if entry["tasks_max"] is not None), None)
    if last is None:
        until = "the limit is gone with the next daemon-reload" if holds else "nothing sets the limit"
        verdict.find(
            "drop_in_missing",
            f"{ours['path']} is not there, and no other drop-in of the scopes has a TasksMax: {until}",
            DEGRADED,
            "run the playbook again",
        )
    elif last["tasks_max"] != str(limit):
        text = f"{last['path']}: TasksMax={last['tasks_max']} has the last word over the {limit} asked for"
        verdict.find(
            "overridden" if not last["ours"] else "drop_in_differs",
            text,
            DEGRADED,
            "remove it, or the line" if not last["ours"] else "run the playbook again",
        )
    elif not last["ours"]:
        verdict.find("elsewhere", f"the limit is set by {last['path']}, not by {drop_in.NAME}")
    for entry in all_of_them:
        if entry["tasks_max"] is not None and entry["name"] > "50-TasksMax.conf":
            verdict.find(
                "after_transient",
                f"{entry['path']} is read after systemd's 50-TasksMax.conf: each daemon-reload overwrites the limits that containers set",
                DEGRADED,
                "give the file a number below 50",
            )
