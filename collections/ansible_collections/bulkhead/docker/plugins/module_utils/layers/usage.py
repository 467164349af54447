# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running container used of its limits, and how often it reached them. Pure.

Reaching a limit is an observation: the limit did what it is for. So the findings have no status, and no layer depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .pids_limit.settings import find_lowest_limit
from .verdict import Finding

OBSERVED = PIDS_LIMIT_REACHED, OUT_OF_MEMORY = ("container.pids_limit_reached", "container.out_of_memory")


def build_usage(container: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return `pids` (`source`, `max`, `current`, `peak`, `limit_hits`) and `memory` (`source`, `oom`, `oom_kills`); None for what is not counted.

    container: from the evidence. pids.limit_hits_inside: those of groups that the container made itself. A part without evidence is left out.
    """
    kernel, usage = container["kernel"], dict[str, dict[str, Any]]()
    pids, events = kernel.get("pids"), kernel.get("events") or {}
    if pids:
        hits = events.get("pids") or {}
        own = hits.get("local", hits.get("max"))
        usage["pids"] = {
            "source": pids["source"].rpartition("/")[0],
            "max": find_lowest_limit(pids).get("max"),
            "current": pids.get("current"),
            "peak": pids.get("peak"),
            "limit_hits": own,
            "limit_hits_inside": hits["max"] - own if hits and own is not None else None,
        }
    if events.get("memory"):
        memory = events["memory"]
        usage["memory"] = {"source": memory["source"], "oom": memory.get("oom"), "oom_kills": memory["oom_kill"]}
    return usage


def find_reached_limits(name: str, usage: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Return one finding per limit that a container has reached since its start."""
    found = []
    pids, memory = usage.get("pids") or {}, usage.get("memory") or {}
    own, inside = pids.get("limit_hits") or 0, pids.get("limit_hits_inside") or 0
    if own or inside:
        texts = [f"container {name} reached its PIDs limit of {pids['max'] or 'max'} {_count(own)}"] if own else []
        if inside:
            texts.append(f"a group inside container {name} reached a PIDs limit of its own {_count(inside)}")
        text = f"{'; '.join(texts)} (pids.events): new processes or threads failed"
        remedy = f"if this is its normal load, give it a higher limit: docker update --pids-limit N {name}" if own else ""
        found.append(Finding(PIDS_LIMIT_REACHED, text, None, remedy))
    oom, kills = memory.get("oom") or 0, memory.get("oom_kills") or 0
    if oom or kills:
        ended = (
            f"the kernel ended {'one of its processes' if kills == 1 else f'{kills} of its processes'}" if kills else "nothing was ended"
        )
        # Without `oom` the memory of the host, and not the container's limit, may be what was missing (man: memory.events, oom_kill).
        cause = (
            f"container {name} reached its memory limit {_count(oom)}, and {ended}"
            if oom
            else f"container {name}: {ended} for lack of memory"
        )
        remedy = (
            f"if this is its normal load, give it a higher limit: docker update --memory N {name}" if oom else "see dmesg for the cause"
        )
        found.append(Finding(OUT_OF_MEMORY, f"{cause} ({memory['source'].rpartition('/')[2]})", None, remedy))
    return found


def describe_peak(usage: Mapping[str, Mapping[str, Any]]) -> str:
    """Return `peak 12 of 100 tasks`; empty without evidence."""
    pids = usage.get("pids") or {}
    most, word = (pids.get("peak"), "peak") if pids.get("peak") is not None else (pids.get("current"), "now")
    if most is None:
        return ""
    return f"{word} {most} of {'unlimited' if pids['max'] is None else pids['max']} tasks"


def _count(times: int) -> str:
    return {1: "once", 2: "twice"}.get(times, f"{times} times")
