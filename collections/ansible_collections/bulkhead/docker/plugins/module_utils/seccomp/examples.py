# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples of arguments for which a profile allows a call and filters deny it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import bpf
from .regions import Budget, TooComplex, collect_tests
from .semantics import Rule

# struct seccomp_data: the arguments begin here, each of 8 bytes, the lower word first (little-endian).
_ARGUMENTS = 16
SHOWN = 3
MAX_VALUES = 256  # per argument


def describe_denied_arguments(programs: Sequence[bpf.Program], arch: int, number: int, default: int, rules: Sequence[Rule]) -> str:
    """Return such values of one argument, with 0 as the others, as `argument 0 = 38, 40`; empty if none was found.

    Tried are the values with which filters and rules compare, and those next to them.
    """
    try:
        tests = collect_tests(programs, arch, number, rules, Budget())
    except TooComplex:
        return ""
    for offset in sorted(tests):
        index, high = divmod(offset - _ARGUMENTS, 8)
        if high:
            continue
        found = []
        for value in _list_values(operand for unused, also_unused, operand in tests[offset]):
            arguments = [value if at == index else 0 for at in range(6)]
            answers = [bpf.run_program(program, number, arch, arguments) for program in reversed(programs)]
            if _is_allowing(default, rules, arguments) and not bpf.is_allowing(bpf.find_strictest(answers)):
                found.append(value)
        if found:
            more = ", …" if len(found) > SHOWN else ""
            return f"argument {index} = {', '.join(str(value) if value < 256 else hex(value) for value in found[:SHOWN])}{more}"
    return ""


def _list_values(operands: Iterator[int]) -> list[int]:
    values = {operand + step for operand in operands for step in (-1, 0, 1)}
    return sorted(value for value in values if 0 <= value <= bpf.WORD)[:MAX_VALUES]


def _is_allowing(default: int, rules: Sequence[Rule], arguments: Sequence[int]) -> bool:
    """Return whether the rules allow a call with these arguments, whichever of those that it meets libseccomp puts first."""
    answers = [answer for answer, conditions in rules if all(condition.is_met(arguments[condition.index]) for condition in conditions)]
    return all(map(bpf.is_allowing, answers or [default]))
