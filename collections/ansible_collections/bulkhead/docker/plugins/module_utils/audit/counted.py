# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the denials that the kernel counts (module denial_counters)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..denial_counters.counts import CountedDenial, DenialCounts, read_counts
from ..denial_counters.describe import describe_result, find_layer, name_denied_call
from ..denial_counters.pins import PINS, find_counter_pins
from ..engine.instance import Instance
from ..host.root import Host
from .attribution import KnownContainer
from .gaps import BEGINS, LOST, MISSED, REBOOTED, UNREADABLE, build_gap

COUNTERS = "counters"
# epoll_ctl(2) says EPERM of a file that does not support it. Go's runtime tries.
_NOT_DENIED = {("epoll_ctl", errno.EPERM)}


@dataclass
class Counted:
    """denials: what containers were denied. gaps: what may be missing. is_counting: whether the kernel counts."""

    denials: list[CountedDenial] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    is_counting: bool = False


def read_counted(host: Host, instance: Instance, since: float, boot: float) -> Counted:
    """Return what containers of the engine were denied since then. A host without counters has none, which is not a gap. boot: time of the boot.

    ENOSYS of a filter is left out, as in `recorded`.
    """
    if not host.path(PINS).exists():
        return Counted()
    folder = find_counter_pins()
    if folder is None:
        return Counted(gaps=[build_gap(UNREADABLE, COUNTERS, f"{PINS} is of another version; run role denial_counters again", since)])
    try:
        counts, loaded = read_counts(), os.stat(folder).st_mtime  # when the last program was pinned
    except OSError as error:
        text = f"the denials that the kernel counted cannot be read: {error.strerror or error}"
        return Counted(gaps=[build_gap(UNREADABLE, COUNTERS, text, since)])
    denials = [
        denial
        for denial in counts.denials
        if denial.last >= since
        and denial.container
        and denial.errno != errno.ENOSYS
        and (name_denied_call(denial), denial.errno) not in _NOT_DENIED
        and _is_of_engine(denial.path, instance)
    ]
    return Counted(denials, _list_late_begin(loaded, since, boot) + _list_gaps(counts), True)


def _is_of_engine(path: str, instance: Instance) -> bool:
    """Return whether a control group can be of the engine: those of a rootless one are below the manager of its user."""
    return f"/user@{instance.uid}.service/" in path if instance.rootless else "/user@" not in path


def _list_late_begin(loaded: float, since: float, boot: float) -> list[dict[str, Any]]:
    """Return a gap if the kernel has not counted from the beginning of the examined time: counts end with the boot, and start with the installation."""
    if loaded <= since:
        return []
    counted = f"the kernel counts denials since {_format_time(loaded)}"
    if boot > since:
        text = f"the host was booted at {_format_time(boot)}, which ended any earlier counts; {counted}"
        return [build_gap(REBOOTED, COUNTERS, text, since, loaded)]
    return [build_gap(BEGINS, COUNTERS, f"{counted}, when its programs were loaded, and none before", since, loaded)]


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _list_gaps(counts: DenialCounts) -> list[dict[str, Any]]:
    found = []
    for name, count in counts.lost.items():
        text = (
            f"the kernel's table of {name} was full, and {count} were not counted; run role denial_counters with state absent, then present"
        )
        found.append(build_gap(LOST, COUNTERS, text, lost=count))
    if counts.missed:
        total = sum(counts.missed.values())
        text = f"the kernel left out {total} runs of the programs that count denials ({', '.join(sorted(counts.missed))})"
        found.append(build_gap(MISSED, COUNTERS, text, lost=total))
    return found


def build_entries(counted: Iterable[CountedDenial], containers: Iterable[KnownContainer], since: float) -> list[dict[str, Any]]:
    """Return an entry per denial, as of the logs. containers: those whose names are known."""
    known = {container.id: container for container in containers}
    machine = os.uname().machine
    return [_build_entry(denial, known.get(denial.container) or KnownContainer(denial.container), machine, since) for denial in counted]


def _build_entry(denial: CountedDenial, container: KnownContainer, machine: str, since: float) -> dict[str, Any]:
    detail = describe_result(denial)
    if denial.abi != machine:
        detail += f" abi={denial.abi}"
    return {
        "layer": find_layer(denial),
        "denied": True,
        "operation": name_denied_call(denial),
        "detail": detail + (f" (counted since {_format_time(denial.first)})" if denial.first < since else ""),
        "profile": container.profile,
        "comm": denial.comm or "unknown",
        "exe": None,
        "scope": "container",
        "container": container.identity,
        "by": COUNTERS,
        "candidates": [],
        "count": denial.count,
        "first": denial.first,
        "last": denial.last,
        "pids": [],
    }
