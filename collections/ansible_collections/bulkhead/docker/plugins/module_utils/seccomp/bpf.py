# SPDX-License-Identifier: GPL-3.0-or-later
"""Classic BPF as seccomp uses it: decodes a filter, runs it for one call, and reads its answer.

Sources: Documentation/userspace-api/seccomp_filter.rst, kernel/seccomp.c (seccomp_check_filter, seccomp_run_filters),
net/core/filter.c (bpf_check_classic), linux/bpf_common.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k
Program = tuple[Instruction, ...]

INSTRUCTION_SIZE = 8
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
DATA_SIZE = 64  # sizeof(struct seccomp_data): nr, arch, instruction_pointer, six arguments
WORD = 0xFFFFFFFF

# Actions, the strictest first. The kernel compares them as signed numbers and uses the smallest (man 2 seccomp).
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO = 0x80000000, 0x00000000, 0x00030000, 0x00050000
USER_NOTIF, TRACE, LOG, ALLOW = 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000
_NAMES = {
    KILL_PROCESS: "KILL_PROCESS",
    KILL_THREAD: "KILL_THREAD",
    TRAP: "TRAP",
    ERRNO: "ERRNO",
    USER_NOTIF: "USER_NOTIF",
    TRACE: "TRACE",
    LOG: "LOG",
    ALLOW: "ALLOW",
}

LD_ABS, LD_LEN, LD_IMM, LD_MEM = 0x20, 0x80, 0x00, 0x60
LDX_LEN, LDX_IMM, LDX_MEM, ST, STX = 0x81, 0x01, 0x61, 0x02, 0x03
TAX, TXA, RET_K, RET_A, JA = 0x07, 0x87, 0x06, 0x16, 0x05
_LOADS = {LD_ABS, LD_LEN, LD_IMM, LD_MEM, LDX_LEN, LDX_IMM, LDX_MEM}
_STORES = {ST, STX, LD_MEM, LDX_MEM}
ALU = {0x04: "add", 0x14: "sub", 0x24: "mul", 0x34: "div", 0x44: "or", 0x54: "and", 0x64: "lsh", 0x74: "rsh", 0xA4: "xor"}
NEG = 0x84
JUMPS = {0x15: "eq", 0x25: "gt", 0x35: "ge", 0x45: "set"}
INDEX = 0x08  # the operand is register X, not k


class BpfError(ValueError):
    """The kernel would not accept the filter; the message has the instruction and the reason."""


def decode_program(raw: bytes) -> Program:
    """Return the instructions of an array of struct sock_filter (little-endian), checked as the kernel checks them. Raises BpfError."""
    if not raw or len(raw) % INSTRUCTION_SIZE or len(raw) > MAX_INSTRUCTIONS * INSTRUCTION_SIZE:
        raise BpfError(f"a filter has 1 to {MAX_INSTRUCTIONS} instructions of {INSTRUCTION_SIZE} bytes, this has {len(raw)} bytes")
    program = tuple(struct.iter_unpack("<HBBI", raw))
    for at, (code, true, false, k) in enumerate(program):
        fault = _find_fault(code, true, false, k, len(program) - at - 1)
        if fault:
            raise BpfError(f"instruction {at} (code {code:#x}, k {k:#x}): {fault}")
    if program[-1][0] not in (RET_K, RET_A):
        raise BpfError(f"instruction {len(program) - 1}: the last instruction is not a return")
    return program


def _find_fault(code: int, true: int, false: int, k: int, left: int) -> str:
    """Return what is wrong with an instruction that has `left` others after it; empty if nothing is."""
    if code & ~INDEX in JUMPS:
        return "jumps past the end" if max(true, false) >= left else ""
    if code == JA:
        return "jumps past the end" if k >= left else ""
    if code == LD_ABS:
        return "reads outside of struct seccomp_data" if k % 4 or k >= DATA_SIZE else ""
    if code in _STORES:
        return "uses a memory slot above 15" if k > 15 else ""
    if code & ~INDEX in ALU:
        operation = ALU[code & ~INDEX]
        if operation == "div" and code == 0x34 and k == 0:
            return "divides by zero"
        if operation in ("lsh", "rsh") and not code & INDEX and k > 31:
            return "shifts by more than 31"
        return ""
    return "" if code in _LOADS | {TAX, TXA, RET_K, RET_A, NEG} else "is not an instruction of seccomp filters"


def extract_action(value: int) -> int:
    """Return the action in a filter's return value, without its data; an unknown one kills the process (man 2 seccomp)."""
    action = value & 0xFFFF0000
    return action if action in _NAMES else KILL_PROCESS


def describe_answer(value: int) -> str:
    """Return `ALLOW`, `ERRNO(1)`, `KILL_PROCESS`, …"""
    action = extract_action(value)
    return f"{_NAMES[action]}({value & 0xFFFF})" if action in (ERRNO, TRACE, TRAP) else _NAMES[action]


def is_allowing(value: int) -> bool:
    """Return whether the call may proceed: allowed, logged, or decided by a supervisor or tracer."""
    return extract_action(value) in (ALLOW, LOG, TRACE, USER_NOTIF)


def find_strictest(values: Iterable[int]) -> int:
    """Return the answer of several filters that the kernel follows. values: from the newest filter to the oldest; on a tie the newest counts."""
    return min(values, key=lambda value: extract_action(value) - (1 << 32 if extract_action(value) & 0x80000000 else 0))


def run_program(program: Program, nr: int, arch: int, args: Sequence[int] = (0, 0, 0, 0, 0, 0)) -> int:
    """Return the filter's answer for one call: number, AUDIT_ARCH_* value, up to six unsigned 64-bit arguments."""
    data = [nr & WORD, arch & WORD, 0, 0]
    for arg in (*args, 0, 0, 0, 0, 0, 0)[:6]:
        data += [arg & WORD, arg >> 32 & WORD]
    a = x = pc = 0
    memory = [0] * 16
    while True:
        code, true, false, k = program[pc]
        pc += 1
        if code == LD_ABS:
            a = data[k >> 2]
        elif code & ~INDEX in JUMPS:
            pc += true if test_operand(JUMPS[code & ~INDEX], a, x if code & INDEX else k) else false
        elif code == RET_K:
            return k
        elif code == JA:
            pc += k
        elif code == RET_A:
            return a
        elif code in (ST, STX):
            memory[k] = a if code == ST else x
        elif code in (LDX_LEN, LDX_IMM, LDX_MEM, TAX):
            x = a if code == TAX else load_constant(code, k, memory)
        elif code & ~INDEX in ALU:
            operand = x if code & INDEX else k
            if ALU[code & ~INDEX] == "div" and operand == 0:
                return 0  # the classic interpreter ends with 0, which is KILL_THREAD
            a = calculate(ALU[code & ~INDEX], a, operand)
        else:
            a = x if code == TXA else -a & WORD if code == NEG else load_constant(code, k, memory)


def load_constant(code: int, k: int, memory: Sequence[int]) -> int:
    """Return the value of a load that does not read the call's data."""
    if code in (LD_LEN, LDX_LEN):
        return DATA_SIZE
    return memory[k] if code in (LD_MEM, LDX_MEM) else k


def test_operand(test: str, a: int, operand: int) -> bool:
    """Return whether register A meets the test of a jump."""
    if test == "eq":
        return a == operand
    if test == "gt":
        return a > operand
    if test == "ge":
        return a >= operand
    return bool(a & operand)


def calculate(operation: str, a: int, operand: int) -> int:
    """Return the result of an arithmetic instruction on register A."""
    if operation == "and":
        return a & operand
    if operation == "or":
        return a | operand
    if operation == "xor":
        return a ^ operand
    if operation == "add":
        return a + operand & WORD
    if operation == "sub":
        return a - operand & WORD
    if operation == "mul":
        return a * operand & WORD
    if operation == "div":
        return a // operand
    operand &= 31
    return a << operand & WORD if operation == "lsh" else a >> operand
