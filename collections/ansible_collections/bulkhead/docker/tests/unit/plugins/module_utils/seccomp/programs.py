# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for tests: real ones, read from containers, and small ones, assembled here."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf, dump

FIXTURES = Path(__file__).parent / "fixtures"
X86_64 = 0xC000003E
NR, ARCH = 0, 4
LD, JEQ, JGT, JGE, JSET, JA, RET, AND = 0x20, 0x15, 0x25, 0x35, 0x45, 0x05, 0x06, 0x54


def arg(index: int, high: bool = False) -> int:
    """Return the offset of half an argument in struct seccomp_data."""
    return 16 + 8 * index + (4 if high else 0)


def assemble(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<HBBI", *one) for one in instructions)


def program(*instructions: tuple[int, int, int, int]) -> bpf.Program:
    return bpf.decode_program(assemble(*instructions))


def dumped(name: str) -> list[bpf.Program]:
    """Return the filters of a real container."""
    return [bpf.decode_program(raw) for raw in dump.decode_filters(json.loads((FIXTURES / f"{name}.json").read_text())["filters"])]
