# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the recorder's maps, programs and links are pinned."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from . import bpf, layout, programs

PINS = "/sys/fs/bpf/bulkhead/recorder"


class RecorderError(Exception):
    """Calls cannot be recorded; the message has the cause and what to do."""


# Assembles all programs, and each message that is attributed opens a map.
_find_version = functools.cache(programs.find_version)


def find_folder() -> str:
    """Return the folder of this version's pins. A later version with other maps does not read them."""
    return f"{PINS}/{_find_version(os.uname().machine)}"


def open_map(name: str) -> int:
    """Return a descriptor of a pinned map. Raises RecorderError."""
    path = f"{find_folder()}/{name}"
    try:
        return bpf.open_pinned(path)
    except OSError as error:
        raise RecorderError(f"{path}: {error.strerror}; arm the recorder again") from error


@contextmanager
def without_preemption() -> Iterator[None]:
    """Let no ordinary task interrupt this thread meanwhile.

    While a task is in bpf(2) for a map, no program at a function runs on its processor (include/linux/bpf.h, bpf_disable_instrumentation),
    so calls of other tasks would be missed if they ran there before it goes on.
    """
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:  # no right to it, as in a cgroup without real-time budget: what is missed is then counted
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)


def list_pins(functions: Iterable[str] = ()) -> list[str]:
    """Return the names of the pins of an armed recorder. functions: tracepoints with a program at a function and a second one."""
    parts = [f"{kind}_{name}" for name in layout.TRACEPOINTS for kind in ("program", "link")]
    return [*layout.list_maps(), *parts, *(f"second_{name}" for name in functions)]
