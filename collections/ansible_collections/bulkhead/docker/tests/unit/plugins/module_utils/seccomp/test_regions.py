# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters and rules are compared for all arguments: real programs, generated ones, and those that no bounded time is enough for."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf, regions
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.regions import Budget, TooComplex, compare_arguments
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import Condition, Expanded, Rule

from .programs import AND, JA, JEQ, JGE, JGT, JSET, LD, RET, X86_64, answer, arg, program

ALLOW, DENY = bpf.ALLOW, bpf.ERRNO | 1
Instruction = tuple[int, int, int, int]
MASK64 = 2**64 - 1


def build_program(default: int, rules: Sequence[Rule]) -> bpf.Program:
    """Return a filter as libseccomp builds it for the rules of one call, in their order. The first rule that matches decides."""
    code: list[Instruction] = []
    for value, conditions in rules:
        parts: list[list[Instruction]] = [_test_condition(condition) for condition in conditions]
        length = sum(map(len, parts)) + 1  # of the rule, with its return
        done = 0
        for part in parts:
            done += len(part)
            left = length - done  # from the end of this part to the next rule
            for at, (op, true, false, k) in enumerate(part):
                after = len(part) - at - 1  # -2: the next condition, -1: the next rule
                jump = {-2: after, -1: after + left}
                code.append((op, jump.get(true, true), jump.get(false, false), k))
        code.append((RET, 0, 0, value))
    return program(*code, (RET, 0, 0, default))


def _test_condition(condition: Condition) -> list[Instruction]:
    """Return the instructions of one condition; a jump of -2 leads to the next condition, -1 to the next rule."""
    high, low = arg(condition.index, True), arg(condition.index)
    upper, lower, op = condition.value >> 32, condition.value & bpf.WORD, condition.op.removeprefix("SCMP_CMP_")
    if op == "MASKED_EQ":
        desired = condition.value_two & condition.value
        return [
            (LD, 0, 0, high), (AND, 0, 0, upper), (JEQ, 0, -1, desired >> 32),
            (LD, 0, 0, low), (AND, 0, 0, lower), (JEQ, -2, -1, desired & bpf.WORD),
        ]  # fmt: skip
    if op in ("EQ", "NE"):
        met, unmet = (-2, -1) if op == "EQ" else (-1, -2)
        return [(LD, 0, 0, high), (JEQ, 0, unmet, upper), (LD, 0, 0, low), (JEQ, met, unmet, lower)]
    above, below = (-2, -1) if op in ("GT", "GE") else (-1, -2)
    last = (JGT if op in ("GT", "LE") else JGE, above, below, lower)
    return [(LD, 0, 0, high), (JGT, above, 0, upper), (JEQ, 0, below, upper), (LD, 0, 0, low), last]


def compare(programs: Sequence[bpf.Program], default: int, rules: Sequence[Rule]) -> tuple[bool, bool]:
    return compare_arguments(programs, X86_64, 1, default, rules, Budget())


def condition(index: int, op: str, value: int, two: int = 0) -> Condition:
    return Condition(index, f"SCMP_CMP_{op}", value, two)


def allow(*conditions: Condition) -> Rule:
    return ALLOW, conditions


def list_vectors(rules: Sequence[Rule]) -> Iterator[tuple[int, ...]]:
    """Yield arguments at and next to every boundary of the rules."""
    values: dict[int, set[int]] = {}
    for one in (one for unused, conditions in rules for one in conditions):
        near = values.setdefault(one.index, {0, 1, 2**32, MASK64})
        near |= {(one.value + step) & MASK64 for step in (-1, 0, 1, 2**32, -(2**32))}
        near |= {one.value_two & one.value, one.value_two ^ (1 << 33), ~one.value & MASK64, one.value_two & one.value | ~one.value & MASK64}
        near |= {one.value_two & one.value ^ 1 << bit for bit in range(64) if one.value >> bit & 1 and bit % 8 < 2}
    indexes = sorted(values)
    for chosen in itertools.product(*(sorted(values[index]) for index in indexes)):
        args = [0] * 6
        for index, value in zip(indexes, chosen, strict=True):
            args[index] = value
        yield tuple(args)


OPS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("value", [0, 1, 38, 0xFFFFFFFF, 2**32, 2**32 + 5, 0x7E020000, 2**63, MASK64])
def test_a_filter_equals_its_own_rules(op: str, value: int) -> None:
    for default, other in ((DENY, ALLOW), (ALLOW, DENY)):
        rules = [(other, (condition(0, op, value, 5),))]
        assert compare([build_program(default, rules)], default, rules) == (False, False)


@pytest.mark.parametrize("seed", range(60))
def test_result_is_that_of_trying_arguments(seed: int) -> None:
    chance = random.Random(seed)

    def choose_rules() -> list[Rule]:
        values = [0, 1, 2, 5, 2**32, 2**32 + 1, 0x7E020000, MASK64]
        return [
            (
                chance.choice((ALLOW, ALLOW, DENY)),
                tuple(
                    condition(index, chance.choice(OPS), chance.choice(values), chance.choice(values))
                    for index in chance.sample(range(2), chance.randint(1, 2))
                ),
            )
            for unused in range(chance.randint(1, 3))
        ]

    default = chance.choice((ALLOW, DENY))
    kernel, desired = choose_rules(), choose_rules()
    if seed % 3 == 0:
        kernel = desired
    filters = [build_program(default, kernel)]
    expanded = Expanded("x86_64", default, {1: desired})
    found = [False, False]
    for args in list_vectors([*kernel, *desired]):
        expected = answer(expanded, 1, args)
        if expected is None:
            continue
        has = bpf.is_allowing(bpf.run_program(filters[0], 1, X86_64, args))
        found[0] |= has and not bpf.is_allowing(expected)
        found[1] |= bpf.is_allowing(expected) and not has
    assert compare(filters, default, desired) == tuple(found)


def test_more_argument_vectors_than_can_be_tried() -> None:
    """Six arguments with eight values each: 262,144 vectors, of which one differs."""
    rules = [allow(*(condition(index, "EQ", 10 * number + index) for index in range(6))) for number in range(8)]
    assert compare([build_program(DENY, rules)], DENY, rules) == (False, False)
    wider = [*rules[:-1], allow(*(condition(index, "EQ" if index < 5 else "GE", 70 + index) for index in range(6)))]
    assert compare([build_program(DENY, wider)], DENY, rules) == (True, False)
    assert compare([build_program(DENY, rules)], DENY, wider) == (False, True)


def test_a_thousand_values_of_one_argument() -> None:
    rules = [allow(condition(1, "EQ", 3 * number)) for number in range(1000)]
    began = time.monotonic()
    filters = [build_program(DENY, rules[:800])]
    assert compare(filters, DENY, rules[:800]) == (False, False)
    assert compare(filters, DENY, rules[:799]) == (True, False)
    assert time.monotonic() - began < 20


def test_every_filter_has_to_allow() -> None:
    first, second = [allow(condition(0, "GE", 5))], [allow(condition(0, "LE", 5))]
    filters = [build_program(DENY, first), build_program(DENY, second)]
    assert compare(filters, DENY, [allow(condition(0, "EQ", 5))]) == (False, False)
    assert compare(filters, DENY, [allow(condition(0, "EQ", 6))]) == (True, True)


@pytest.mark.parametrize(
    ("instructions", "rules", "found"),
    [
        # A path that no arguments lead to does not count.
        ([(LD, 0, 0, arg(0)), (JEQ, 0, 2, 1), (JEQ, 0, 1, 2), (RET, 0, 0, ALLOW), (RET, 0, 0, DENY)], [], (False, False)),
        ([(LD, 0, 0, arg(0)), (JSET, 0, 1, 6), (RET, 0, 0, DENY), (RET, 0, 0, ALLOW)], [allow(condition(0, "MASKED_EQ", 6))], (False, False)),
        ([(LD, 0, 0, arg(0)), (JSET, 0, 1, 4), (RET, 0, 0, DENY), (RET, 0, 0, ALLOW)], [allow(condition(0, "MASKED_EQ", 6))], (True, False)),
        # The high half is not tested: a value with a high bit is allowed too.
        ([(LD, 0, 0, arg(0)), (JEQ, 0, 1, 7), (RET, 0, 0, ALLOW), (RET, 0, 0, DENY)], [allow(condition(0, "EQ", 7))], (True, False)),
        # Kept in memory, in X, and moved by a jump.
        (
            [
                (LD, 0, 0, arg(0)), (0x02, 0, 0, 3), (LD, 0, 0, 0), (0x60, 0, 0, 3), (0x01, 0, 0, 7), (0x1D, 0, 1, 0), (JA, 0, 0, 1),
                (RET, 0, 0, DENY), (RET, 0, 0, ALLOW),
            ],
            [allow(condition(0, "EQ", 7))], (True, False),
        ),
        # The instruction pointer decides: for some calls it allows.
        ([(LD, 0, 0, 8), (JGT, 0, 1, 4096), (RET, 0, 0, ALLOW), (RET, 0, 0, DENY)], [], (True, False)),
    ],
)  # fmt: skip
def test_instructions(instructions: list[Instruction], rules: list[Rule], found: tuple[bool, bool]) -> None:
    assert compare([program(*instructions)], DENY, rules) == found


@pytest.mark.parametrize(
    "instructions",
    [
        [(LD, 0, 0, arg(0)), (0x04, 0, 0, 1), (JEQ, 0, 1, 7), (RET, 0, 0, ALLOW), (RET, 0, 0, DENY)],  # adds
        [(LD, 0, 0, arg(0)), (0x84, 0, 0, 0), (JEQ, 0, 1, 7), (RET, 0, 0, ALLOW), (RET, 0, 0, DENY)],  # negates
        [(LD, 0, 0, arg(0)), (0x07, 0, 0, 0), (LD, 0, 0, arg(1)), (0x1D, 0, 1, 0), (RET, 0, 0, ALLOW), (RET, 0, 0, DENY)],  # compares two
        [(LD, 0, 0, arg(0)), (0x16, 0, 0, 0)],  # returns an argument
    ],
)
def test_calculations_are_too_complex(instructions: list[Instruction]) -> None:
    with pytest.raises(TooComplex):
        compare([program(*instructions)], DENY, [])


@pytest.mark.parametrize("work", [0, 10, 100, 1000, 5000])
def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch, work: int) -> None:
    rules = [allow(*(condition(index, "MASKED_EQ", 0xFF << number, number) for index in range(6))) for number in range(8)]
    filters = [build_program(DENY, rules)]
    monkeypatch.setattr(regions, "MAX_WORK", work)
    with pytest.raises(TooComplex):
        compare(filters, DENY, [allow(*(condition(index, "NE", number) for index in range(6))) for number in range(8)])


def test_budget_is_that_of_all_calls_together() -> None:
    rules, budget = [allow(condition(0, "EQ", 5))], Budget()
    filters = [build_program(DENY, rules)]
    assert compare_arguments(filters, X86_64, 1, DENY, rules, budget) == (False, False)
    assert budget.left < regions.MAX_WORK
    budget.left = 0
    with pytest.raises(TooComplex):
        compare_arguments(filters, X86_64, 1, DENY, rules, budget)


def test_hostile_conditions_end_in_bounded_time() -> None:
    chance = random.Random(1)
    rules = [
        allow(*(condition(index, "MASKED_EQ", chance.getrandbits(64), chance.getrandbits(64)) for index in range(6)))
        for unused in range(40)
    ]
    began = time.monotonic()
    with pytest.raises(TooComplex):
        compare([build_program(DENY, rules[:30])], DENY, rules)
    assert time.monotonic() - began < 20
