# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for tests: real ones, read from containers, and small ones, assembled here."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf, encoding
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import Condition, Expanded

FIXTURES = Path(__file__).parent / "fixtures"
X86_64, I386 = 0xC000003E, 0x40000003
X32_BIT = 0x40000000
NR, ARCH = 0, 4
LD, JEQ, JGT, JGE, JSET, JA, RET, AND = 0x20, 0x15, 0x25, 0x35, 0x45, 0x05, 0x06, 0x54


def arg(index: int, high: bool = False) -> int:
    """Return the offset of half an argument in struct seccomp_data."""
    return 16 + 8 * index + (4 if high else 0)


def assemble(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<HBBI", *one) for one in instructions)


def program(*instructions: tuple[int, int, int, int]) -> bpf.Program:
    return bpf.decode_program(assemble(*instructions))


def open_abi(inner: bpf.Program, abi: str) -> bpf.Program:
    """Return a filter that allows every call of another ABI of x86-64, and otherwise answers as `inner`."""
    test = ((LD, 0, 0, ARCH), (JEQ, 0, 1, I386)) if abi == "x86" else ((LD, 0, 0, NR), (JSET, 0, 1, X32_BIT))
    return program(*test, (RET, 0, 0, bpf.ALLOW), *inner)


def allow_only(*numbers: int, arch: int = X86_64) -> bpf.Program:
    """Return a filter that allows these calls of one ABI."""
    tests = [(JEQ, 0, 1, number) for number in numbers]
    return program(
        (LD, 0, 0, ARCH), (JEQ, 1, 0, arch), (RET, 0, 0, bpf.KILL_PROCESS), (LD, 0, 0, NR),
        *(one for test in tests for one in (test, (RET, 0, 0, bpf.ALLOW))), (RET, 0, 0, bpf.ERRNO | 1),
    )  # fmt: skip


ALLOW_ALL = program((RET, 0, 0, bpf.ALLOW))


def dumped(name: str) -> list[bpf.Program]:
    """Return the filters of a real container."""
    return [bpf.decode_program(raw) for raw in encoding.decode_filters(json.loads((FIXTURES / f"{name}.json").read_text())["filters"])]


def meets_condition(condition: Condition, args: Sequence[int]) -> bool:
    """Return whether a call's arguments (unsigned, 64 bits) meet a condition (man 3 seccomp_rule_add)."""
    arg, value = args[condition.index], condition.value
    return {
        "SCMP_CMP_NE": arg != value,
        "SCMP_CMP_LT": arg < value,
        "SCMP_CMP_LE": arg <= value,
        "SCMP_CMP_EQ": arg == value,
        "SCMP_CMP_GE": arg >= value,
        "SCMP_CMP_GT": arg > value,
        "SCMP_CMP_MASKED_EQ": arg & value == condition.value_two & value,
    }[condition.op]


def answer(expanded: Expanded, number: int, args: Sequence[int]) -> int | None:
    """Return a profile's answer for one call; None if rules with different actions match, because then libseccomp's order decides."""
    default, rules = expanded.list_rules(number)
    matching = {value for value, conditions in rules if all(meets_condition(c, args) for c in conditions)}
    if len(matching) > 1:
        return None
    return matching.pop() if matching else default
