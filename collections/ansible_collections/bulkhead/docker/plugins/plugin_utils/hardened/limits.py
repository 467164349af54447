# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks limits: of PIDs, memory, CPUs and logs. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...module_utils.hardened.settings import SIZE, parse_size
from ..suggestion import suggest
from .values import LAST_SIZE, SettingProblem, Written, explain_number, format_value, report, takes

MIN_MEMORY = 6 << 20  # moby daemon/daemon_unix.go: linuxMinMemory
MAX_PIDS = 1 << 22  # Linux threads.h: PID_MAX_LIMIT
MIN_CPUS = 0.01  # a quota of 1 ms of each 100 ms (Linux kernel/sched/core.c: min_cfs_quota_period)
MAX_ULIMIT = (1 << 63) - 1  # docker/go-units ulimit.go: int64
MAX_FILES = 0x7FFFFFC0  # Linux fs/file.c: sysctl_nr_open_max. plan_containers compares the host's own fs.nr_open.
# docker/go-units ulimit.go: ulimitNameMapping
ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
MAX_CPUS = 8192  # Linux arch/x86/Kconfig: NR_CPUS. The engine rejects more than the host has, which plan_containers compares.


def check_pids_limit(value: Any, written: Written) -> Iterator[SettingProblem]:
    why = explain_number(value, written)
    if not why and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        why = "is not a limit; write an integer of 1 or more"
    elif not why and value > MAX_PIDS:
        why = f"is more than the kernel can count; write a number from 1 to {MAX_PIDS}"
    yield from report(value, why)


def check_memory(value: Any, written: Written) -> Iterator[SettingProblem]:
    wrong = list(_check_size(value, written))
    yield from wrong
    if not wrong and parse_size(value) < MIN_MEMORY:
        yield SettingProblem("", value, "is less than the engine accepts; write 6m or more")


def check_log_size(value: Any, written: Written) -> Iterator[SettingProblem]:
    wrong = list(_check_size(value, written))
    yield from wrong
    if not wrong and parse_size(value) < 1:
        yield SettingProblem("", value, "is not a size of a file; write a number above 0 with k, m or g, such as 10m")


def check_log_files(value: Any, written: Written) -> Iterator[SettingProblem]:
    why = explain_number(value, written)
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,6}", value) else value
    if not why and (not isinstance(number, int) or isinstance(number, bool) or not 1 <= number < 1_000_000):
        why = "is not a number of files; write an integer of 1 or more"
    yield from report(value, why)


def check_cpus(value: Any, written: Written) -> Iterator[SettingProblem]:
    why = explain_number(value, written)
    number = isinstance(value, int | float) and not isinstance(value, bool) and not (isinstance(value, float) and not math.isfinite(value))
    if not why and (not number or value <= 0):
        why = "is not a number of CPUs; write a number above 0, such as 0.5"
    elif not why and not MIN_CPUS <= value <= MAX_CPUS:
        why = f"is not a number of CPUs that the kernel can limit; write a number from {MIN_CPUS} to {MAX_CPUS}"
    yield from report(value, why)


@takes(dict)
def check_ulimits(value: Any, written: Written) -> Iterator[SettingProblem]:
    """Check the names that the engine knows (docker/go-units ulimit.go), and numbers that compose and the kernel take."""
    for name, limit in value.items():
        if name not in ULIMITS:
            advice = suggest(name, ULIMITS, cutoff=0.5)
            yield SettingProblem("", value, f"contains {format_value(name)}, which is not a limit; {advice}")
            continue
        pair = limit if isinstance(limit, Mapping) else {"soft": limit, "hard": limit}
        if set(pair) != {"soft", "hard"}:
            yield SettingProblem(f".{name}", limit, "is not a limit; write a number, or soft and hard")
            continue
        wrong = [(key, why) for key, number in pair.items() if (why := _explain_ulimit(name, number, written))]
        for key, why in wrong[: None if isinstance(limit, Mapping) else 1]:
            yield SettingProblem(
                f".{name}.{key}" if isinstance(limit, Mapping) else f".{name}", "null" if pair[key] is None else pair[key], why
            )
        if not wrong and pair["hard"] != -1 and not 0 <= pair["soft"] <= pair["hard"]:
            yield SettingProblem(
                f".{name}", limit, "has a soft limit above the hard one, which the engine rejects; write a lower soft limit"
            )


def _explain_ulimit(name: str, number: Any, written: Written) -> str:
    why = explain_number(number, written)
    if why:
        return why
    if not isinstance(number, int) or isinstance(number, bool) or not -1 <= number <= MAX_ULIMIT:
        return "is not a limit; write an integer of 0 or more, or -1 for no limit"
    if name == "nofile" and not 0 <= number <= MAX_FILES:
        return f"is more than the kernel allows for nofile; write a number up to {MAX_FILES}"
    return ""


def _check_size(value: Any, written: Written) -> Iterator[SettingProblem]:
    why = explain_number(value, written)
    good = isinstance(value, int | str) and not isinstance(value, bool)
    match = SIZE.fullmatch(str(value)) if good and not (isinstance(value, int) and value > LAST_SIZE) else None
    if not why and (match is None or len(match[1]) > 19 or parse_size(value) > LAST_SIZE):
        why = "is not a size; write a number with k, m or g, such as 256m"
    yield from report(value, why)
