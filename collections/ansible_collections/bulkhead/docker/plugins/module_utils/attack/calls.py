# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw system calls for the runner. It runs inside a container: only the standard library, no import from outside this folder."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from typing import Any

# Name → number on this machine; set by the module, which has the tables.
numbers: dict[str, int] = {}
# What the module prepared on the host: paths inside the container, PIDs and addresses outside, and so on (preparation.py).
preparation: dict[str, Any] = {}

libc = ctypes.CDLL(None, use_errno=True)


class Blocked(Exception):
    """An attack was stopped: at which step, and with which errno (None: no error, but no effect either)."""

    def __init__(self, step: str, number: int | None) -> None:
        super().__init__(step)
        self.step = step
        self.number = number


class NotPrepared(Exception):
    """A prerequisite of the attack is missing; the result says nothing about layers."""


def call(name: str, *arguments: Any, reached: Iterable[int] = (), step: str = "") -> int:
    """Return the result of a system call. An errno in `reached` follows every permission check and counts as success.

    Raises Blocked.
    """
    if name not in numbers:
        raise NotPrepared(f"{name} has no number on this machine")
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(numbers[name]), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result == -1:
        number = ctypes.get_errno()
        if number not in reached:
            raise Blocked(step or name, number)
    return int(result)


def name_process(name: str) -> None:
    """Set a process name that only this attack has: audit messages contain it (`comm=`), while PIDs differ inside and outside."""
    libc.prctl(15, ctypes.c_char_p(name.encode()), 0, 0, 0)  # PR_SET_NAME


def encode_text(value: str) -> ctypes.c_char_p:
    return ctypes.c_char_p(value.encode())


def open_path(path: str, flags: int, step: str = "") -> int:
    """Return a descriptor; nothing is read or written here. Raises Blocked."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise Blocked(step or f"open {path}", error.errno) from error


def name_errno(number: int | None) -> str | None:
    return None if number is None else errno.errorcode.get(number, str(number))
