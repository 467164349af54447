# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares filters and a profile's rules for one call, for all arguments at once and exactly.

A filter reads an argument as two words of 32 bits. All values of a word for which every test of filters and rules has the same result are
one class. A box is a set of classes per word; filters and rules are unions of boxes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Optional

from . import bpf
from .reach import update_registers
from .semantics import Condition, Rule

# Bounds time and memory of one comparison of filters and profile, all its calls together: about 3 s.
MAX_WORK = 1_000_000

Test = tuple[str, int, int]  # as in bpf.JUMPS; mask of the word, operand
Box = tuple[int, ...]  # per word, one bit per class
Split = Callable[[Box, int, Test], tuple[Optional[Box], Optional[Box]]]  # noqa: UP045 (evaluated at run time)
Literal = tuple[int, Test, bool]  # offset of the word in struct seccomp_data, test, desired result


class TooComplex(Exception):
    """The call cannot be compared within bounded time, or the filter calculates with arguments."""


class Budget:
    """The work that a comparison may take."""

    def __init__(self) -> None:
        self.left = MAX_WORK

    def spend(self, work: int) -> None:
        """Subtract work. Raises TooComplex when none is left."""
        self.left -= work
        if self.left < 0:
            raise TooComplex


def compare_arguments(
    programs: Sequence[bpf.Program], arch: int, number: int, default: int, rules: Sequence[Rule], budget: Budget
) -> tuple[bool, bool]:
    """Return whether there are arguments that the filters allow and the profile denies, and whether there are some the other way round.

    Arguments for which rules of the profile contradict each other do not count: libseccomp's order decides about them. Raises TooComplex.
    """
    budget.spend(1)
    alternatives = {allowing: _list_alternatives(rules, allowing) for allowing in (True, False)}
    space = _Space(collect_tests(programs, arch, number, rules, budget), budget)

    def divide(box: Box, offset: int, test: Test) -> tuple[Box | None, Box | None]:
        return space.narrow(box, offset, test, True), space.narrow(box, offset, test, False)

    allowed, denied = [space.full], []
    for program in programs:
        own: dict[bool, list[Box]] = {True: [], False: []}
        for value, box in _walk(program, arch, number, space.full, divide, budget):
            own[bpf.is_allowing(value)].append(box)
        allowed = _intersect(allowed, own[True], budget)
        denied += own[False]
    allow, deny = (space.build_boxes(alternatives[key]) for key in (True, False))
    if bpf.is_allowing(default):
        return _has_point_outside(_intersect(allowed, deny, budget), allow, budget), _has_point_outside(denied, deny, budget)
    return _has_point_outside(allowed, allow, budget), _has_point_outside(_intersect(denied, allow, budget), deny, budget)


def collect_tests(
    programs: Sequence[bpf.Program], arch: int, number: int, rules: Sequence[Rule], budget: Budget
) -> dict[int, dict[Test, int]]:
    """Return offset of a word -> the tests by which filters and rules divide its values. Raises TooComplex."""
    tests: dict[int, dict[Test, int]] = {}
    for alternative in itertools.chain.from_iterable(_list_alternatives(rules, allowing) for allowing in (True, False)):
        for offset, test, unused in alternative:
            tests.setdefault(offset, {})[test] = 0

    def collect(box: Box, offset: int, test: Test) -> tuple[Box, Box]:
        tests.setdefault(offset, {})[test] = 0
        return box, box

    for program in programs:
        list(_walk(program, arch, number, (), collect, budget))
    return tests


def has_excess(rules: Sequence[Rule], default: int, outer: Sequence[Rule], budget: Budget) -> bool:
    """Return whether rules, whose own default denies, allow arguments that an outer profile denies. Raises TooComplex.

    Arguments for which rules of the outer profile contradict each other count as allowed there only if its default denies.
    """
    inner = _list_alternatives(rules, True)
    allow, deny = (_list_alternatives(outer, allowing) for allowing in (True, False))
    tests: dict[int, dict[Test, int]] = {}
    for offset, test, unused in itertools.chain.from_iterable(inner + allow + deny):
        tests.setdefault(offset, {})[test] = 0
    space = _Space(tests, budget)
    own = space.build_boxes(inner)
    if bpf.is_allowing(default):
        own = _intersect(own, space.build_boxes(deny), budget)
    return _has_point_outside(own, space.build_boxes(allow), budget)


class _Space:
    """The classes of each word that tests compare; `full` is the box of all arguments. tests: offset of the word -> tests."""

    def __init__(self, tests: dict[int, dict[Test, int]], budget: Budget) -> None:
        self._tests = tests
        self._words = {offset: at for at, offset in enumerate(sorted(tests))}
        self.full: Box = tuple(_number_classes(tests[offset], budget) for offset in self._words)

    def narrow(self, box: Box, offset: int, test: Test, result: bool) -> Box | None:
        """Return the part of a box in which a test of a word has this result; None if it is empty."""
        at, bits = self._words[offset], self._tests[offset][test]
        kept = box[at] & (bits if result else ~bits)
        return (*box[:at], kept, *box[at + 1 :]) if kept else None

    def build_boxes(self, alternatives: Iterable[Iterable[Literal]]) -> list[Box]:
        """Return the box of each alternative that some arguments meet."""
        found = []
        for literals in alternatives:
            box: Box | None = self.full
            for offset, test, result in literals:
                box = self.narrow(box, offset, test, result) if box is not None else None
            found += [box] if box is not None else []
        return found


def _walk(program: bpf.Program, arch: int, number: int, start: Box, split: Split, budget: Budget) -> Iterator[tuple[int, Box]]:
    """Yield each answer of a filter with a box of arguments that lead to it. split: divides a box by a test of a word.

    A register has a number, or offset and mask of a word of struct seccomp_data.
    """
    first: tuple[Any, ...] = (0, (0, 0, ()), start)
    waiting, visited = [first], {first}
    while waiting:
        pc, registers, box = waiting.pop()
        a, x, unused = registers
        code, true, false, k = program[pc]
        operand = x if code & bpf.INDEX else k
        following: list[tuple[int, Any, Box | None]]
        if code in (bpf.RET_K, bpf.RET_A):
            value = k if code == bpf.RET_K else a
            if not isinstance(value, int) or value < 0:
                raise TooComplex
            yield value, box
            continue
        if code & ~bpf.INDEX in bpf.JUMPS:
            test = bpf.JUMPS[code & ~bpf.INDEX]
            if not isinstance(operand, int):
                raise TooComplex
            if isinstance(a, int):
                following = [(pc + 1 + (true if bpf.test_operand(test, a, operand) else false), registers, box)]
            else:
                met, unmet = split(box, a[0], (test, a[1], operand))
                following = [(pc + 1 + true, registers, met), (pc + 1 + false, registers, unmet)]
        elif code == bpf.LD_ABS:
            following = [(pc + 1, (number if k == 0 else arch if k == 4 else (k, bpf.WORD), x, registers[2]), box)]
        elif code == bpf.JA:
            following = [(pc + 1 + k, registers, box)]
        elif code & ~bpf.INDEX in bpf.ALU and not (isinstance(a, int) and isinstance(operand, int)):
            if bpf.ALU[code & ~bpf.INDEX] != "and" or isinstance(a, int) or not isinstance(operand, int):
                raise TooComplex
            following = [(pc + 1, ((a[0], a[1] & operand), x, registers[2]), box)]
        elif code == bpf.NEG and not isinstance(a, int):
            raise TooComplex
        else:
            following = [(pc + 1, update_registers(code, k, registers), box)]
        for state in following:
            if state[2] is not None and state not in visited:
                budget.spend(10)
                visited.add(state)
                waiting.append(state)


def _number_classes(tests: dict[Test, int], budget: Budget) -> int:
    """Set the classes that meet each test of a word, one bit each, and return the bits of all classes. Raises TooComplex."""
    classes: set[tuple[bool, ...]]
    if all(mask == bpf.WORD and test != "set" for test, mask, unused in tests):
        near = {0} | {operand + step & bpf.WORD for unused, also_unused, operand in tests for step in (-1, 0, 1)}
        budget.spend(len(near) * len(tests) // 16)
        classes = {tuple(bpf.test_operand(test, value, operand) for test, unused, operand in tests) for value in near}
    else:
        # From the highest bit down, per test: how the bits so far compare (-1, 0, 1), or whether a common bit was among them.
        states = {(0,) * len(tests)}
        for bit in range(31, -1, -1):
            parts = [(test == "set", mask >> bit & 1, operand >> bit & 1) for test, mask, operand in tests]
            states = {
                tuple(
                    sofar or (value & mask & operand if common else (value & mask) - operand)
                    for sofar, (common, mask, operand) in zip(state, parts, strict=True)
                )
                for state in states
                for value in (0, 1)
            }
            budget.spend(len(states) * len(tests) // 4)
        meets: dict[str, Callable[[int], bool]] = {
            "eq": lambda found: found == 0, "gt": lambda found: found > 0, "ge": lambda found: found >= 0, "set": bool,
        }  # fmt: skip
        classes = {tuple(meets[test](found) for (test, *unused), found in zip(tests, state, strict=True)) for state in states}
    for at, test in enumerate(tests):
        tests[test] = sum(1 << number for number, results in enumerate(classes) if results[at])
    return (1 << len(classes)) - 1


def _list_alternatives(rules: Sequence[Rule], allowing: bool) -> list[list[Literal]]:
    """Return the rules that allow, or those that deny, as alternatives of literals that are met together."""
    found: list[list[Literal]] = []
    for answer, conditions in rules:
        if bpf.is_allowing(answer) == allowing:
            for parts in itertools.product(*map(_split_condition, conditions)):
                found.append([literal for part in parts for literal in part])
    return found


def _split_condition(condition: Condition) -> list[list[Literal]]:
    """Return a comparison of 64 bits as alternatives of comparisons of words, the lower one at the lower offset (little-endian)."""
    low = 16 + 8 * condition.index
    high, op = low + 4, condition.op.removeprefix("SCMP_CMP_")
    upper, lower = condition.value >> 32, condition.value & bpf.WORD
    if op == "MASKED_EQ":
        desired = condition.value_two & condition.value
        return [[(high, ("eq", upper, desired >> 32), True), (low, ("eq", lower, desired & bpf.WORD), True)]]
    same = (high, ("eq", bpf.WORD, upper), True)
    if op in ("EQ", "NE"):
        equal: list[list[Literal]] = [[same, (low, ("eq", bpf.WORD, lower), op == "EQ")]]
        return equal if op == "EQ" else [*equal, [(high, ("eq", bpf.WORD, upper), False)]]
    above = op in ("GT", "GE")
    beyond: Literal = (high, ("gt" if above else "ge", bpf.WORD, upper), above)
    return [[beyond], [same, (low, ("gt" if op in ("GT", "LE") else "ge", bpf.WORD, lower), above)]]


def _intersect(one: Sequence[Box], other: Sequence[Box], budget: Budget) -> list[Box]:
    budget.spend(len(one) * len(other))
    found = {tuple(a & b for a, b in zip(mine, others, strict=True)) for mine in one for others in other}
    return [box for box in found if all(box)]


def _has_point_outside(boxes: Iterable[Box], union: Sequence[Box], budget: Budget) -> bool:
    """Return whether some box has a point that no box of the union has."""
    for box in boxes:
        budget.spend(1 + len(union) // 8)
        left = [box]
        for other in (other for other in union if all(a & b for a, b in zip(box, other, strict=True))):
            left = [piece for one in left for piece in _subtract(one, other)]
            budget.spend(1 + len(left))
        if left:
            return True
    return False


def _subtract(box: Box, other: Box) -> Iterator[Box]:
    """Yield boxes that together are the part of a box outside of another."""
    if not all(a & b for a, b in zip(box, other, strict=True)):
        yield box
        return
    for at, classes in enumerate(other):
        if box[at] & ~classes:
            yield (*box[:at], box[at] & ~classes, *box[at + 1 :])
        box = (*box[:at], box[at] & classes, *box[at + 1 :])
