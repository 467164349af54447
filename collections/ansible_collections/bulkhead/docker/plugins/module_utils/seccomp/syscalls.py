# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls by name and number, for the architectures on which filters are judged."""

from __future__ import annotations

X86_64 = "x86_64"
AARCH64 = "aarch64"
# AUDIT_ARCH_* as in seccomp_data.arch (linux/audit.h: ELF machine, with bits for 64-bit and little-endian).
AUDIT_ARCH = {X86_64: 0xC000003E, AARCH64: 0xC00000B7, "i386": 0x40000003, "arm": 0x40000028}
# An x32 call comes as x86-64 with this bit in its number (arch/x86/include/uapi/asm/unistd.h).
X32_BIT = 0x40000000

_tables: dict[str, dict[str, int]] = {}


def load_table(machine: str) -> dict[str, int]:
    """Return name -> number on a machine (as `uname -m` names it). Raises KeyError for a machine without a table."""
    if machine not in _tables:
        if machine == X86_64:
            from .syscalls_x86_64 import TABLE
        elif machine == AARCH64:
            from .syscalls_aarch64 import TABLE
        else:
            raise KeyError(machine)
        _tables[machine] = parse_table(TABLE)
    return _tables[machine]


def parse_table(text: str) -> dict[str, int]:
    """Return name -> number of names in the order of their numbers, from 0; after `@N`, the next number is N."""
    numbers: dict[str, int] = {}
    number = 0
    for word in text.split():
        if word.startswith("@"):
            number = int(word[1:])
        else:
            numbers[word] = number
            number += 1
    return numbers


def name_syscall(machine: str, number: int) -> str:
    """Return the call's name, or `syscall 471` for one that is newer than the table."""
    return next((name for name, n in load_table(machine).items() if n == number), f"syscall {number}")
