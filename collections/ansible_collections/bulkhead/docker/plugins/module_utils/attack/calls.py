# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw system calls for the player (it runs inside a container: standard library only, no import from outside of this folder)."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from typing import Any

# Name → number on this machine; given by the module, which has the tables.
numbers: dict[str, int] = {}
# What the module prepared on the host: paths inside the container, PIDs and addresses outside, and so on (stage.py).
ground: dict[str, Any] = {}

_libc = ctypes.CDLL(None, use_errno=True)


class Blocked(Exception):
    """An attack was stopped: at which step, and with which errno (None: it got no error and no effect)."""

    def __init__(self, step: str, number: int | None) -> None:
        super().__init__(step)
        self.step = step
        self.number = number


class NotPrepared(Exception):
    """What has to be there before an attack can begin is not: this says nothing about any layer."""


def call(name: str, *arguments: Any, reached: Iterable[int] = (), step: str = "") -> int:
    """The result of a system call. An errno in `reached` comes from behind every permission check, and counts as getting through.

    Raises Blocked.
    """
    if name not in numbers:
        raise NotPrepared(f"{name} has no number on this machine")
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(numbers[name]), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result == -1:
        number = ctypes.get_errno()
        if number not in reached:
            raise Blocked(step or name, number)
    return int(result)


def name_process(name: str) -> None:
    """A name that is one attack's alone: the kernel's audit messages carry it (`comm=`), where PIDs inside and outside differ."""
    _libc.prctl(15, ctypes.c_char_p(name.encode()), 0, 0, 0)  # PR_SET_NAME


def text(value: str) -> ctypes.c_char_p:
    return ctypes.c_char_p(value.encode())


def opened(path: str, flags: int, step: str = "") -> int:
    """A descriptor. Opening is all: nothing is read from it or written to it. Raises Blocked."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise Blocked(step or f"open {path}", error.errno) from error


def errno_name(number: int | None) -> str | None:
    return None if number is None else errno.errorcode.get(number, str(number))
