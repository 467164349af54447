# SPDX-License-Identifier: GPL-3.0-or-later
"""Names the call, the layer and the result of a counted denial. Pure."""

from __future__ import annotations

import errno

from ..capabilities import CAPABILITIES
from ..seccomp.syscalls import AARCH64, X32_BIT, X86_64, name_syscall
from .counts import CountedDenial

KERNEL = "kernel"  # the layer of a denial whose cause is unknown


def name_denied_call(denial: CountedDenial) -> str:
    """Return the name of a call; `syscall NUMBER` if no table has it."""
    table = X86_64 if denial.abi == "x32" else denial.abi
    return name_syscall(table, denial.number & ~X32_BIT) if table in (X86_64, AARCH64) else f"syscall {denial.number}"


def find_layer(denial: CountedDenial) -> str:
    """Return the layer that denied the call. Without a cause from the kernel, the user of the task decides."""
    if denial.cause != "unknown":
        return denial.cause
    if denial.errno == errno.EPERM and name_denied_call(denial).startswith("execve"):
        return "capabilities"  # of the file (man 2 execve)
    if not denial.is_root:
        return "non_root_user"
    return "userns" if denial.in_namespace else KERNEL


def describe_result(denial: CountedDenial) -> str:
    """Return the error, and the missing capability; or what the kernel ignored."""
    if denial.ignored:
        return f"{denial.ignored} ignored"
    text = f"errno={errno.errorcode.get(denial.errno, denial.errno)}"
    if denial.capability is not None:
        text += f" capability={CAPABILITIES[denial.capability] if denial.capability < len(CAPABILITIES) else denial.capability}"
    return text
