# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds every answer of a filter per system call, for any arguments, in one walk through the program."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence

from . import bpf

# Abstract values of a register; other values are plain numbers.
_NUMBER = -1  # the number of the call
_UNKNOWN = -2  # computed from arguments

_Registers = tuple[int, int, tuple[tuple[int, int], ...]]  # A, X, memory slots that were written


def find_reachable_answers(program: bpf.Program, arch: int, numbers: Sequence[int]) -> list[frozenset[int]]:
    """Return per number (ascending) every value that the filter can return for some arguments.

    Jumps only go forward, so each instruction is visited once, with the set of numbers (one bit each) that reach it. A test of the number
    splits the set; a test of an argument passes it to both branches. If a program tests one argument twice, the result may contain a value
    that no arguments lead to, but none is missing.
    """
    arriving: list[dict[_Registers, int]] = [{} for unused in program]
    returned: dict[int, int] = {}
    matching = _build_matcher(numbers)

    def visit(pc: int, registers: _Registers, which: int) -> None:
        if which:
            arriving[pc][registers] = arriving[pc].get(registers, 0) | which

    visit(0, (0, 0, ()), (1 << len(numbers)) - 1)
    for pc, (code, true, false, k) in enumerate(program):
        for registers, which in arriving[pc].items():
            a, x, memory = registers
            if code & ~bpf.INDEX in bpf.JUMPS:
                test, operand = bpf.JUMPS[code & ~bpf.INDEX], x if code & bpf.INDEX else k
                if a == _UNKNOWN or operand < 0:
                    met, unmet = which, which
                elif a == _NUMBER:
                    met = which & matching(test, operand)
                    unmet = which & ~met
                else:
                    met, unmet = (which, 0) if bpf.test_operand(test, a, operand) else (0, which)
                visit(pc + 1 + true, registers, met)
                visit(pc + 1 + false, registers, unmet)
            elif code == bpf.LD_ABS:
                visit(pc + 1, (_NUMBER if k == 0 else arch if k == 4 else _UNKNOWN, x, memory), which)
            elif code == bpf.JA:
                visit(pc + 1 + k, registers, which)
            elif code == bpf.RET_K:
                returned[k] = returned.get(k, 0) | which
            else:  # rare in filters: handled number by number
                for one, own in _split_by_number(registers, which, numbers):
                    if code == bpf.RET_A:
                        # a value computed from arguments could be anything, including "allow"
                        value = bpf.ALLOW if one[0] == _UNKNOWN else one[0]
                        returned[value] = returned.get(value, 0) | own
                    else:
                        visit(pc + 1, update_registers(code, k, one), own)
    return [frozenset(value for value, which in returned.items() if which >> at & 1) for at in range(len(numbers))]


def _build_matcher(numbers: Sequence[int]) -> Callable[[str, int], int]:
    """Return a function (test, operand) -> the numbers (ascending) that meet the test, one bit each."""
    everything = (1 << len(numbers)) - 1
    with_bits: dict[int, int] = {}

    def matching(test: str, operand: int) -> int:
        if test == "set":
            if operand not in with_bits:
                with_bits[operand] = sum(1 << at for at, number in enumerate(numbers) if number & operand)
            return with_bits[operand]
        at = bisect_right(numbers, operand) if test == "gt" else bisect_left(numbers, operand)
        if test == "eq":
            return 1 << at if at < len(numbers) and numbers[at] == operand else 0
        return everything >> at << at

    return matching


def _split_by_number(registers: _Registers, which: int, numbers: Sequence[int]) -> Iterator[tuple[_Registers, int]]:
    """Yield the state per number of the call, if register A contains that number."""
    a, x, memory = registers
    if a != _NUMBER:
        yield registers, which
        return
    for at, number in enumerate(numbers):
        if which >> at & 1:
            yield (number, x, memory), 1 << at


def update_registers(code: int, k: int, registers: _Registers) -> _Registers:
    """Return the registers after an instruction that neither jumps nor returns."""
    a, x, memory = registers
    slots = dict(memory)
    if code in (bpf.ST, bpf.STX):
        slots[k] = a if code == bpf.ST else x
        return a, x, tuple(sorted(slots.items()))
    if code in (bpf.LD_MEM, bpf.LDX_MEM):
        value = slots.get(k, 0)
        return (value, x, memory) if code == bpf.LD_MEM else (a, value, memory)
    if code in (bpf.LD_LEN, bpf.LD_IMM):
        return bpf.load_constant(code, k, ()), x, memory
    if code in (bpf.LDX_LEN, bpf.LDX_IMM):
        return a, bpf.load_constant(code, k, ()), memory
    if code == bpf.TAX:
        return a, a, memory
    if code == bpf.TXA:
        return x, x, memory
    operand = x if code & bpf.INDEX else k
    if a == _UNKNOWN or (code != bpf.NEG and operand == _UNKNOWN):
        return _UNKNOWN, x, memory
    if code == bpf.NEG:
        return -a & bpf.WORD, x, memory
    if bpf.ALU[code & ~bpf.INDEX] == "div" and operand == 0:
        return _UNKNOWN, x, memory
    return bpf.calculate(bpf.ALU[code & ~bpf.INDEX], a, operand), x, memory
