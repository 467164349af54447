# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluates which devices a control group may open. Pure.

cgroup v1 has a list. cgroup v2 has eBPF programs (BPF_PROG_TYPE_CGROUP_DEVICE), which runc, crun and systemd build from rules: this module
evaluates the instructions that they use. A program with others (helper calls, maps) is not evaluated.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .device_rules import Policy

Instruction = tuple[str, Callable[[int, int], Any], int, int, int, int, int, int]

_MAX_STEPS = 1 << 16
_TYPES, _ACCESS = {"b": 1, "c": 2}, {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_DEV_*, BPF_DEVCG_ACC_*

# By the upper four bits of the opcode (Documentation/bpf/standardization/instruction-set.rst).
_ALU: dict[int, Callable[[int, int], Any]] = {
    **{0: operator.add, 1: operator.sub, 4: operator.or_, 5: operator.and_, 6: operator.lshift, 7: operator.rshift},
    **{10: operator.xor, 11: lambda _left, right: right, 12: operator.rshift},
}
_JUMPS: dict[int, Callable[[int, int], Any]] = {
    **{0: lambda _left, _right: True, 1: operator.eq, 2: operator.gt, 3: operator.ge, 4: operator.and_, 5: operator.ne},
    **{6: operator.gt, 7: operator.ge, 10: operator.lt, 11: operator.le, 12: operator.lt, 13: operator.le},
}
_LOADS = {0x61: 4, 0x69: 2, 0x71: 1}  # BPF_LDX | BPF_MEM and the size in bytes
_CONTEXT = 1 << 40  # the address of struct bpf_cgroup_dev_ctx: larger than every number in it


class NotEvaluatedError(ValueError):
    """A program has an instruction that this module does not evaluate."""


@lru_cache(maxsize=1 << 14)  # many containers have the same policy
def evaluate_policy(policy: Policy, kind: str, major: int, minor: int, access: str) -> bool | None:
    """Return whether a policy allows an access; None when it was not evaluated. Every program must allow it (kernel/bpf/cgroup.c)."""
    if isinstance(policy, str):
        for line in policy.splitlines():
            row = line.replace(":", " ").split()
            if (
                len(row) == 4
                and row[0] in ("a", kind)
                and row[1] in ("*", str(major))
                and row[2] in ("*", str(minor))
                and set(access) <= set(row[3])
            ):
                return True
        return False
    context = struct.pack("<3I", sum(_ACCESS[letter] for letter in access) << 16 | _TYPES[kind], major, minor)
    try:
        return all(run_program(program, context) for program in policy)
    except (NotEvaluatedError, IndexError):
        return None


def explain_policy(policy: Policy | None) -> str:
    """Return why a policy cannot be evaluated; empty when it can, or when none was read."""
    try:
        for program in policy if isinstance(policy, tuple) else ():
            decode_program(program)
    except NotEvaluatedError as error:
        return str(error)
    return ""


def run_program(program: bytes, context: bytes) -> int:
    """Return R0 of a program for struct bpf_cgroup_dev_ctx (access << 16 | type, major, minor). Raises NotEvaluatedError."""
    code = decode_program(program)
    registers = [0] * 16
    registers[1] = _CONTEXT
    at = 0
    for _step in range(_MAX_STEPS):
        action, use, mask, sign, target, source, value, extra = code[at]
        at += 1
        left, right = registers[target] & mask, (value if source < 0 else registers[source]) & mask
        left -= (left & sign) << 1
        if action == "jump":
            if use(left, right - ((right & sign) << 1)):
                at += extra
        elif action == "alu":
            registers[target] = use(left, right & extra) & mask
        elif action == "exit":
            return registers[0]
        else:
            begin = right + extra - _CONTEXT
            if not 0 <= begin <= len(context) - value:
                raise NotEvaluatedError(f"instruction {at - 1} reads other memory than the device")
            registers[target] = int.from_bytes(context[begin : begin + value], "little")
    raise NotEvaluatedError(f"no end after {_MAX_STEPS} steps")


@lru_cache(maxsize=256)
def decode_program(program: bytes) -> tuple[Instruction, ...]:
    """Return a program for `run_program`: action, function, mask, sign bit if signed, target, source or -1, value, and jump or mask of shifts.

    Raises NotEvaluatedError. The kernel leaves loads from this context as they are (cg_dev_verifier_ops has no convert_ctx_access), removes
    dead code, and shows constants that it has blinded with register 11 (net.core.bpf_jit_harden).
    """
    code: list[Instruction] = []
    nothing: Instruction = ("jump", _JUMPS[0], 0, 0, 0, -1, 0, 0)
    rows = list(struct.iter_unpack("<BBhi", program))
    for at, (opcode, names, offset, value) in enumerate(rows):
        kind, operation, target = opcode & 7, opcode >> 4, names & 15
        source = names >> 4 if opcode & 8 else -1
        bits = 64 if kind in (1, 5, 7) else 32  # BPF_LDX, BPF_JMP and BPF_ALU64; else BPF_JMP32 and BPF_ALU
        mask, sign = (1 << bits) - 1, 1 << bits - 1
        if at and rows[at - 1][0] == 0x18:
            code.append(nothing)  # its second half
        elif opcode == 0x95:
            code.append(("exit", *nothing[1:]))
        elif opcode in _LOADS:
            code.append(("load", _JUMPS[0], mask, 0, target, names >> 4, _LOADS[opcode], offset))
        elif opcode == 0x18 and names < 16:  # BPF_LD | BPF_DW | BPF_IMM
            code.append(("alu", _ALU[11], (1 << 64) - 1, 0, target, -1, value & mask | rows[at + 1][3] << 32, -1))
        elif kind in (4, 7) and operation in _ALU and not offset:  # with an offset the same opcodes are other operations
            limit = bits - 1 if operation in (6, 7, 12) else -1  # of shifts
            code.append(("alu", _ALU[operation], mask, sign if operation == 12 else 0, target, source, value, limit))
        elif kind in (5, 6) and operation in _JUMPS and (operation or kind == 5):
            signed = sign if operation in (6, 7, 12, 13) else 0
            code.append(("jump", _JUMPS[operation], mask, signed, target, source, value, offset))
        else:
            raise NotEvaluatedError(f"instruction {at} has opcode {opcode:#04x}, which is not evaluated")
    return tuple(code)
