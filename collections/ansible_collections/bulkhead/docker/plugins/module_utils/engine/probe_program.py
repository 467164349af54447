# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that runs in the probe: it sleeps, and needs no libraries. So the engine stores 10 KB per probe instead of 2 MB.

An executable (man 5 elf): its header, two program headers, the instructions, and the time that they read.
"""

from __future__ import annotations

import struct

NAME = "bulkhead-probe"
_BASE, _PAGE = 0x400000, 0x10000
# Machine (`uname -m`) -> its number in the header, and instructions, which read the time behind them:
# clock_nanosleep(CLOCK_MONOTONIC, 0, time, NULL), as `sleep` calls it, then exit_group(0) (man 2 syscall; linux/time.h).
_MACHINES = {
    "x86_64": (
        62,
        b"\xbf\x01\x00\x00\x00"  # mov edi, 1
        b"\x31\xf6"  # xor esi, esi
        b"\x48\x8d\x15\x13\x00\x00\x00"  # lea rdx, [rip + 0x13]
        b"\x45\x31\xd2"  # xor r10d, r10d
        b"\xb8\xe6\x00\x00\x00"  # mov eax, 230
        b"\x0f\x05"  # syscall
        b"\x31\xff"  # xor edi, edi
        b"\xb8\xe7\x00\x00\x00"  # mov eax, 231
        b"\x0f\x05",  # syscall
    ),
    "aarch64": (
        183,
        b"\x20\x00\x80\xd2"  # mov x0, 1
        b"\x01\x00\x80\xd2"  # mov x1, 0
        b"\xe2\x00\x00\x10"  # adr x2, . + 28
        b"\x03\x00\x80\xd2"  # mov x3, 0
        b"\x68\x0e\x80\xd2"  # mov x8, 115
        b"\x01\x00\x00\xd4"  # svc 0
        b"\x00\x00\x80\xd2"  # mov x0, 0
        b"\xc8\x0b\x80\xd2"  # mov x8, 94
        b"\x01\x00\x00\xd4",  # svc 0
    ),
}


def build_executable(machine: str, seconds: int) -> bytes | None:
    """Return an executable that ends after so many seconds; None for a machine whose instructions are not known here."""
    if machine not in _MACHINES:
        return None
    number, code = _MACHINES[machine]
    start = 64 + 2 * 56
    size = start + len(code) + 16
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, number, 1, _BASE + start, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, _PAGE)  # PT_LOAD, readable and executable
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # PT_GNU_STACK, not executable
    return header + load + stack + code + struct.pack("<qq", seconds, 0)
